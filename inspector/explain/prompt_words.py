"""What a language model is told before the facts, in each language. Data; see `prompt`.

Names and numbers of the examples differ from what lines use, so that one that leaks is caught.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from inspector.explain.terms import Language


@dataclass(frozen=True, slots=True)
class PromptWords:
    """`normal` stands for every reading within limits, `cause` before a cause's number,
    `picture` before images."""

    system: str
    examples: tuple[tuple[str, str], ...]
    normal: str
    cause: str
    picture: str


_ENGLISH = PromptWords(
    system=(
        "You explain decisions of an inspection line to an operator. Write one short plain sentence, "
        "two at most, from the numbered facts and the given cause. Begin with the decision as it "
        "stands in fact 1. Then say why: name every ABNORMAL sensor with its value, every defect and "
        "where it is, and everything that is missing. Copy names, numbers and units exactly. "
        "Add nothing that the facts do not say. "
        'Answer as JSON: {"cause":number,"text":"...","cited":[fact numbers]}.'
    ),
    examples=(
        (
            "1. Part A17 was rejected: defect probability 0.88, above the 0.75 needed\n"
            "2. cam_top: burr, score 0.86, lower left of the image, 31 x 12 px\n"
            "3. spindle_load (load): 91 %, ABNORMAL, above its warn limit 85 %\n"
            "Cause 1: spindle_load abnormal at the same time as burr",
            '{"cause":1,"text":"Part A17 was rejected because cam_top found a burr at the lower left '
            'of the image while spindle_load was at 91 %, above its warn limit of 85 %.",'
            '"cited":[1,2,3]}',
        ),
        (
            "1. Part A21 was rejected: defect probability 0.9, above the 0.75 needed\n"
            "2. cam_top: bent_pin, score 0.79, centre of the image, 12 x 9 px\n"
            "3. air_inlet (pressure): 3.9 bar, ABNORMAL, below its warn limit 4.2 bar\n"
            "4. spindle_load (load): 93 %, ABNORMAL, above its warn limit 85 %\n"
            "Cause 1: air_inlet and spindle_load abnormal at the same time as bent_pin",
            '{"cause":1,"text":"Part A21 was rejected because cam_top found bent_pin at the centre of '
            "the image while air_inlet was at 3.9 bar, below its warn limit of 4.2 bar, and "
            'spindle_load was at 93 %, above its warn limit of 85 %.","cited":[1,2,3,4]}',
        ),
        (
            "1. Part A18 was held for review as the failsafe action: nothing is known of a defect\n"
            "2. sensors within limits\n"
            "3. no data from vision.cam_top\n"
            "Cause 1: no usable data came from vision.cam_top in time",
            '{"cause":1,"text":"Part A18 was held for review because no usable data came from '
            'vision.cam_top in time.","cited":[1,3]}',
        ),
    ),
    normal="sensors within limits",
    cause="Cause {}: ",
    picture="Image: on the left the region, on the right its heat map of the detector (red: abnormal).",
)
_GERMAN = PromptWords(
    system=(
        "Du erklärst einem Bediener die Entscheidungen einer Prüflinie. Schreibe einen kurzen, "
        "einfachen deutschen Satz, höchstens zwei, aus den nummerierten Fakten und der Ursache. Beginne "
        "mit der Entscheidung, wie sie in Fakt 1 steht. Sage dann, warum: nenne jeden auffälligen Sensor "
        "mit seinem Wert, jeden Defekt und wo er liegt, und alles, was fehlt. Übernimm Namen, Zahlen "
        "und Einheiten genau. Füge nichts hinzu, was die Fakten nicht sagen. "
        'Antworte als JSON: {"cause":Nummer,"text":"...","cited":[Nummern der Fakten]}.'
    ),
    examples=(
        (
            "1. Teil A17 wurde ausgeschleust, Defektwahrscheinlichkeit 0,88, über den nötigen 0,75\n"
            "2. Kamera cam_top sah einen Grat, Score 0,86, unten links im Bild, 31 x 12 px\n"
            "3. Sensor spindle_load (Last): 91 %, auffällig, über der Warngrenze von 85 %\n"
            "Ursache 1: spindle_load auffällig, zugleich Grat",
            '{"cause":1,"text":"Teil A17 wurde ausgeschleust, weil cam_top unten links im Bild einen Grat '
            'fand, während spindle_load bei 91 % lag, über der Warngrenze von 85 %.",'
            '"cited":[1,2,3]}',
        ),
        (
            "1. Teil A21 wurde ausgeschleust, Defektwahrscheinlichkeit 0,9, über den nötigen 0,75\n"
            "2. Kamera cam_top sah eine Lasche, Score 0,79, Bildmitte, 12 x 9 px\n"
            "3. Sensor air_inlet (Druck): 3,9 bar, auffällig, unter der Warngrenze von 4,2 bar\n"
            "4. Sensor spindle_load (Last): 93 %, auffällig, über der Warngrenze von 85 %\n"
            "Ursache 1: air_inlet und spindle_load auffällig, zugleich Lasche",
            '{"cause":1,"text":"Teil A21 wurde ausgeschleust, weil cam_top in der Bildmitte eine Lasche '
            "fand, während air_inlet bei 3,9 bar lag, unter der Warngrenze von 4,2 bar, und "
            'spindle_load bei 93 %, über der Warngrenze von 85 %.","cited":[1,2,3,4]}',
        ),
        (
            "1. Teil A25 wurde ausgeschleust, Defektwahrscheinlichkeit 0,83, über den nötigen 0,75\n"
            "2. Kamera cam_top: kein Defekt gefunden, Defektwahrscheinlichkeit 0,83\n"
            "3. Sensor spindle_load (Last): 97 %, auffällig, über der Alarmgrenze von 95 %\n"
            "Ursache 1: spindle_load auffällig, kein Defekt gefunden",
            '{"cause":1,"text":"Teil A25 wurde ausgeschleust, weil spindle_load bei 97 % lag, über der '
            'Alarmgrenze von 95 %, während im Bild von cam_top kein Defekt gefunden wurde.",'
            '"cited":[1,2,3]}',
        ),
        (
            "1. Teil A18 wurde zur Prüfung gesperrt (Sicherheitsreaktion): über einen Defekt ist nichts "
            "bekannt\n"
            "2. Sensoren innerhalb der Grenzen\n"
            "3. Es fehlen Daten von vision.cam_top\n"
            "Ursache 1: von vision.cam_top kamen nicht rechtzeitig brauchbare Daten",
            '{"cause":1,"text":"Teil A18 wurde zur Prüfung gesperrt, weil von vision.cam_top nicht '
            'rechtzeitig brauchbare Daten kamen.","cited":[1,3]}',
        ),
    ),
    normal="Sensoren innerhalb der Grenzen",
    cause="Ursache {}: ",
    picture="Bild: links der Ausschnitt, rechts derselbe mit der Heatmap des Detektors, rot ist auffällig.",
)
_CHINESE = PromptWords(
    system=(
        "你向操作员解释检测线的判定。根据编号的事实和给定的原因，用简短的中文写一句话，最多两句。"
        "以事实 1 中的判定开头，然后说明原因："
        "写出每个异常传感器及其数值、每个缺陷及其位置，以及所有缺少的数据。"
        "名称、数字和单位必须照抄，不得添加事实中没有的内容。"
        '以 JSON 回答：{"cause":编号,"text":"...","cited":[事实编号]}。'
    ),
    examples=(
        (
            "1. 工件 A17 已剔除，缺陷概率 0.88，超过所需的 0.75\n"
            "2. 相机 cam_top 发现 毛刺，得分 0.86，位于图像左下，31 x 12 px\n"
            "3. 传感器 spindle_load（负载）：91 %，异常，高于警告限 85 %\n"
            "原因 1：spindle_load 异常，同时出现 毛刺",
            '{"cause":1,"text":"工件 A17 已剔除，因为相机 cam_top 发现毛刺，位于图像左下，同时 '
            'spindle_load 为 91 %，高于警告限 85 %。","cited":[1,2,3]}',
        ),
        (
            "1. 工件 A21 已剔除，缺陷概率 0.9，超过所需的 0.75\n"
            "2. 相机 cam_top 发现 bent_leg，得分 0.79，位于图像中央，12 x 9 px\n"
            "3. 传感器 air_inlet（压力）：3.9 bar，异常，低于警告限 4.2 bar\n"
            "4. 传感器 spindle_load（负载）：93 %，异常，高于警告限 85 %\n"
            "原因 1：air_inlet和spindle_load 异常，同时出现 bent_leg",
            '{"cause":1,"text":"工件 A21 已剔除，因为相机 cam_top 发现 bent_leg，位于图像中央，同时 '
            "air_inlet 为 3.9 bar，低于警告限 4.2 bar，且 spindle_load 为 93 %，高于警告限 "
            '85 %。","cited":[1,2,3,4]}',
        ),
        (
            "1. 工件 A18 已扣留待复检（安全动作）：缺陷情况未知\n"
            "2. 传感器均在限值内\n"
            "3. 缺少来自 vision.cam_top 的数据\n"
            "原因 1：未及时收到来自 vision.cam_top 的可用数据",
            '{"cause":1,"text":"工件 A18 已扣留待复检，因为未及时收到来自 vision.cam_top 的可用数据。",'
            '"cited":[1,3]}',
        ),
    ),
    normal="传感器均在限值内",
    cause="原因 {}：",
    picture="图片：左边是缺陷区域，右边是同一区域的检测器热图，红色为异常。",
)
PROMPT_WORDS: Mapping[Language, PromptWords] = {"en": _ENGLISH, "de": _GERMAN, "zh": _CHINESE}
