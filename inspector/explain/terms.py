"""What labels, kinds of sensors and units are called in another language. Pure.

A German noun has its article in the accusative case, in which a camera finds it. What is not in
the list keeps its own name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Language = Literal["en", "de", "zh"]

UNITS = {"degC": "°C", "deg": "°", "Ohm": "Ω"}

_LABELS = """
scratch | einen Kratzer | 划痕
scratches | Kratzer | 划痕
dent | eine Delle | 凹痕
crack | einen Riss | 裂纹
chip | einen Ausbruch | 崩缺
chipped_edge | eine ausgebrochene Kante | 崩边
burr | einen Grat | 毛刺
flash | einen Grat | 飞边
hole | ein Loch | 孔洞
pit | eine Vertiefung | 凹坑
pore | eine Pore | 气孔
porosity | Porosität | 气孔
blister | eine Blase | 鼓泡
bubble | eine Blase | 气泡
void | einen Hohlraum | 空洞
inclusion | einen Einschluss | 夹杂
contamination | eine Verschmutzung | 污染
dirt | Schmutz | 脏污
stain | einen Fleck | 污渍
spot | einen Fleck | 斑点
rust | Rost | 锈蚀
corrosion | Korrosion | 腐蚀
discoloration | eine Verfärbung | 变色
burn_mark | eine Brandstelle | 烧痕
fibre | eine Faser | 纤维
fiber | eine Faser | 纤维
thread | einen Faden | 线头
misprint | einen Fehldruck | 印刷错误
bent_tab | eine verbogene Lasche | 弯曲的接片
bent_pin | einen verbogenen Pin | 弯针
open_seam | eine offene Naht | 开缝
cold_weld | eine Kaltschweißstelle | 冷焊
sink_mark | eine Einfallstelle | 缩痕
short_shot | eine unvollständige Füllung | 缺料
missing_hole | ein fehlendes Loch | 漏孔
mouse_bite | einen Mausbiss | 鼠咬
open_circuit | eine Unterbrechung | 断路
short | einen Kurzschluss | 短路
spur | einen Sporn | 毛刺
spurious_copper | überschüssiges Kupfer | 余铜
cut | einen Schnitt | 切口
print | einen Druckfehler | 印刷缺陷
deformation | eine Verformung | 变形
wear | Verschleiß | 磨损
anomaly | eine Auffälligkeit | 异常区域
defect | einen Defekt | 缺陷
"""

_KINDS = """
vibration | Schwingung | 振动
axis_vibration | Achsschwingung | 轴振动
temperature | Temperatur | 温度
melt_temperature | Schmelzetemperatur | 熔体温度
pressure | Druck | 压力
nozzle_pressure | Düsendruck | 喷嘴压力
force | Kraft | 力
clamp_force | Spannkraft | 夹紧力
torque | Drehmoment | 扭矩
motor_torque | Motordrehmoment | 电机扭矩
current | Strom | 电流
weld_current | Schweißstrom | 焊接电流
voltage | Spannung | 电压
flow | Durchfluss | 流量
coolant_flow | Kühlmittelfluss | 冷却液流量
vacuum | Vakuum | 真空度
humidity | Feuchte | 湿度
speed | Geschwindigkeit | 速度
belt_speed | Bandgeschwindigkeit | 皮带速度
load | Last | 负载
ambient_light | Umgebungslicht | 环境光
light | Licht | 光照
adhesive_mass | Klebstoffmenge | 胶量
weight | Gewicht | 重量
mass | Masse | 质量
distance | Abstand | 距离
position | Position | 位置
level | Füllstand | 液位
emergency_stop | Not-Halt | 急停按钮
power | Leistung | 功率
noise | Geräusch | 噪声
"""

_ARTICLES = ("ein ", "eine ", "einen ")
_GERMAN, _CHINESE = 1, 2


@dataclass(frozen=True, slots=True)
class Terms:
    """`names` of labels and kinds as the language has them; `articles` of German nouns; `units`."""

    names: Mapping[str, str] = field(default_factory=dict)
    articles: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def name(self, name: str) -> str:
        """Return what `name` is called, itself where nobody knows."""
        return self.names.get(name.lower(), name)

    def with_article(self, term: str) -> str:
        """Return the term as the object of a sentence."""
        article = self.articles.get(term, "")
        return f"{article} {term}" if article else term


def _rows(listed: str) -> Iterable[tuple[str, ...]]:
    return (tuple(cell.strip() for cell in line.split("|")) for line in listed.strip().splitlines())


def _terms(column: int) -> Terms:
    names: dict[str, str] = {}
    articles: dict[str, str] = {}
    for row in (*_rows(_LABELS), *_rows(_KINDS)):
        term = row[column]
        article = next((each for each in _ARTICLES if column == _GERMAN and term.startswith(each)), "")
        names[row[0]] = term.removeprefix(article)
        if article:
            articles[names[row[0]]] = article.strip()
    return Terms(names, articles, UNITS)


TERMS: Mapping[str, Terms] = {"en": Terms(), "de": _terms(_GERMAN), "zh": _terms(_CHINESE)}
