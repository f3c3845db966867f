"""The words of German explanations. Data; see `lexicon`.

No article of indefinite nouns is among them: it comes with its noun, in the facts (`terms`).
"""

from inspector.explain.lexicon import Lexicon, words
from inspector.types import Action

GERMAN = Lexicon(
    vocabulary=words(
        """
        aber als am an auch auf aus bei beide beiden beim da dabei dadurch das dass dem den der deren des
        die dies diese dieser durch für gegen hat hatte hatten ihr ihre ihrem ihren ihrer im in ist
        jeweils kam kamen lag lagen liegt liegen mit nach oder sein seine seinem seinen seiner sich sie
        sind so sowie und um vom von vor war waren während weil wegen wird wurde wurden zu zugleich zum
        zur gleichzeitig
        Abschnitt Bild Bilder Bildes Bildmitte Daten Defekt Defekte Defektwahrscheinlichkeit
        Entscheidung Fläche Frist Grenze Grenzen Alarmgrenze Warngrenze Notfallgrenze Kamera Kameras
        Konfidenz Linie Messung Messwert Messwerte Notfall Position Prüfung Score Sensor Sensoren
        Sicherheitsreaktion Signal Teil Teile Trigger Wahrscheinlichkeit Wert Werte Zeit
        auffällig auffällige auffälligen brauchbare erforderlichen nötigen rechtzeitig
        außerhalb innerhalb normal
        ausgefallen erkannt erkannte fand fanden gefunden gemeldet gemessen gesehen meldete maß
        sah sahen zeigte zeigten
        über oberhalb unter unterhalb
        links rechts oben unten Mitte linken rechten oberen unteren mittleren Rand Bereich
        """
    ),
    negations=words("nicht kein keine keinem keinen keiner nie niemals nichts ohne weder noch"),
    starts=("Das", "Die", "Der", "Es", "Zugleich", "Kamera", "Sensor"),
    above=words("über oberhalb"),
    below=words("unter unterhalb"),
    finds=words("fand fanden gefunden sah sahen gesehen erkannt erkannte zeigte zeigten"),
    places=(
        (words("links linken"), words("rechts rechten")),
        (words("oben oberen"), words("unten unteren")),
    ),
    done={
        Action.REJECT: "ausgeschleust",
        Action.PASS: "freigegeben",
        Action.HOLD: "gesperrt",
        Action.STOP: "angehalten",
    },
    sensors="Sensor(?:en)?|Messwerte?n?",
    within=r"\binnerhalb\b",
    normal=r"\b(?:innerhalb|normal)\b",
    signs=r"[A-Za-z0-9ÄÖÜäöüß °²³µΩ,.;:()%/<>=+_-]*",
    capitals=True,
    verb_last=True,
    decimal=",",
)
