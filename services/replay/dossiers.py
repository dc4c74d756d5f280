"""The dossier of a planned step: the real evidence titles, an obviously invented person, a small text file or two. Pure.

What must not go in: anything from which a real person could be recognised.
"""

from __future__ import annotations

from typing import Final

from services.replay.plan import PERSON, CasePlan, Step
from services.replay.windows import draw
from xieban.agency import Agency
from xieban.dossier import CaseNumbers, Document, Dossier, EvidenceItem, File, Person
from xieban.procedure import table

# Rare characters, one character, the middle dot, length: every name a clerk may meet has to pass.
NAMES: Final = (
    "甲某某",
    "乙某",
    "𠮷某",
    "阿依古丽·买买提测试",
    "丙",
    "欧阳测试某",
    "䶮某某",
    "㐂某",
    "测试·某某某·某某某某·某某某某某某某某",
    "丁某甲",
)
_WITH_EVIDENCE: Final = frozenset(
    {"arrest_request", "prosecution_transfer", "resubmission_after_supplement", "public_prosecution", "appeal_transfer"}
)
_ISSUERS: Final = {Agency.POLICE: "公", Agency.PROCURATORATE: "检", Agency.COURT: "法"}


def client_ref(plan: CasePlan, step: Step) -> str:
    """发文文号 of a step: the sender's own number, the same in every run."""
    return f"{_ISSUERS[step.sender.agency]}演〔{step.at.year}〕{plan.case_id[7:]}-{step.number + 1:02d}号"


def dossier(plan: CasePlan, step: Step) -> Dossier:
    """What travels with a step."""
    timeline = plan.timeline
    title = document_title(step)
    full = step.kind in _WITH_EVIDENCE
    evidence = tuple(
        EvidenceItem(kind=item.kind, title=item.title, pages=1 + draw(f"{timeline.id} {index}", "pages", 12))
        for index, item in enumerate(timeline.evidence)
    )
    return Dossier(
        document=Document(title=title, number=client_ref(plan, step), date=step.at.date().isoformat()),
        persons=(_person(plan, step),),
        evidence=evidence if full else (),
        files=_files(plan, step, title, full=full),
        case_numbers=CaseNumbers(
            police=plan.case_id,
            procuratorate=timeline.indictment_no if step.sender.agency is not Agency.POLICE else "",
            court=timeline.case_no if step.sender.agency is Agency.COURT else "",
        ),
        charge=timeline.charge,
    )


def document_title(step: Step) -> str:
    """文书名称: the one of several that fits the outcome."""
    names = table().kind(step.kind).document.split("、")
    return names[1] if len(names) > 1 and step.outcome in ("not_approved", "supplement") else names[0]


def _person(plan: CasePlan, step: Step) -> Person:
    name = NAMES[draw(plan.timeline.id, "name", len(NAMES))]
    return Person(
        tag=PERSON, name=name, in_custody=step.in_custody, place="演示看守所" if step.in_custody else "演示住所"
    )


def _files(plan: CasePlan, step: Step, title: str, *, full: bool) -> tuple[File, ...]:
    charge = plan.timeline.charge or "未载明"
    text = f"{title}\n\n演示文书，不是真实案件材料。\n案由：{charge}\n{step.sender.name} 发 {step.receiver.name}\n"
    files = [File(name=f"{title}.txt", media_type="text/plain", content=text.encode(), pages=1)]
    if full:
        lines = "\n".join(f"{number}. {item.title}" for number, item in enumerate(plan.timeline.evidence, start=1))
        content = f"证据目录\n\n{lines or '无'}\n".encode()
        files.append(File(name="证据目录.txt", media_type="text/plain", content=content, pages=1))
    return tuple(files)
