"""The words of Chinese explanations. Data; see `lexicon`. Negations come in phrases of the facts alone."""

from inspector.explain.lexicon import Lexicon, words
from inspector.types import Action

CHINESE = Lexicon(
    vocabulary=words(
        """
        因为 由于 因 而 且 并 并且 同时 此时 当时 该 其 的 在 为 是 有 处 于 从 和 与 及 以及 也 均 都 时
        已 了 上 中 内 其中 原因是
        发现 检测到 检出 看到 显示 测得 报告 读数 数值 值 传感器 相机 图像 表面 工件 产线 缺陷 缺陷概率
        置信度 得分 位置 位于 左上 右上 左下 右下 左侧中部 右侧中部 上方中部 下方中部 中央
        高于 低于 超过 限值 报警限 警告限 紧急限 紧急度 异常 正常 数据 来自 判定 所需
        """
    ),
    negations=frozenset(),
    starts=(),
    above=words("高于 超过 大于"),
    below=words("低于 小于 未超过"),
    finds=words("发现 检测到 检出 看到 显示"),
    places=((words("左"), words("右")), (words("左上 上方 右上"), words("左下 下方 右下"))),
    done={Action.REJECT: "剔除", Action.PASS: "放行", Action.HOLD: "扣留", Action.STOP: "停止"},
    sensors="传感器|读数",
    within="限值内",
    normal="限值内|正常",
    signs=r"[A-Za-z0-9\u4e00-\u9fff °²³µΩ，。；：、（）,.;:()%/<>=+_-]*",
    spaced=False,
    stop="。",
    pauses="，、；：",
    reach=14,
    repeated=18,
    min_text=10,
)
