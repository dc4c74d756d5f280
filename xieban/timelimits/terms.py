"""The vocabulary of a statute row: units, policies, consequences, offices. Codes are English, labels Chinese.

Only closed sets and their labels belong here; numbers live in statutes.toml and arithmetic in the reckoning modules.
"""

from __future__ import annotations

from enum import StrEnum


class Unit(StrEnum):
    """The unit the text of the law uses; it is kept, because 30日 is not 一个月 (A30)."""

    HOUR = "小时"
    DAY = "日"
    WORKDAY = "工作日"
    MONTH = "月"
    YEAR = "年"
    TERM = "刑期"


class Policy(StrEnum):
    """How the last day meets a holiday (刑诉105④): strict against the State, generous to the party."""

    STATE = "state"
    RIGHTS = "rights"
    FIXED = "fixed"
    HOURS = "hours"
    LEAD = "lead"
    SENTENCE = "sentence"


class MonthRule(StrEnum):
    """Which text moves a date by months."""

    JS202 = "js202"
    GA17 = "ga17"


class Per(StrEnum):
    """Whose limit it is, hence whose custody decides the last day (A10)."""

    PERSON = "person"
    CASE = "case"


class Consequence(StrEnum):
    """What follows when the limit is missed."""

    RELEASE = "M1"
    VIOLATION = "M2"
    LAPSE = "M3"
    FINAL = "M4"
    INTERNAL = "M6"
    NONE = "none"


class Effect(StrEnum):
    """What an event does to a running limit."""

    EXCLUDE = "exclude"
    RESTART = "restart"
    ANCHOR = "anchor"
    CUSTODY = "custody"
    DECIDED = "decided"
    NONE = "none"


class Office(StrEnum):
    """Who may grant an extension."""

    STATUTE = "statute"
    POLICE = "police"
    POLICE_DEPARTMENT_HEAD = "police_department_head"
    COUNTY_POLICE_HEAD = "county_police_head"
    CITY_POLICE_HEAD = "city_police_head"
    PROCURATORATE = "procuratorate"
    CHIEF_PROCURATOR = "chief_procurator"
    UPPER_PROCURATORATE = "upper_procuratorate"
    PROVINCIAL_PROCURATORATE = "provincial_procuratorate"
    SUPREME_PROCURATORATE = "supreme_procuratorate"
    COURT = "court"
    UPPER_COURT = "upper_court"
    HIGH_COURT = "high_court"
    SUPREME_COURT = "supreme_court"
    NPCSC = "npcsc"
    ORIGINAL_APPROVER = "original_approver"


CONSEQUENCE_TEXTS = {
    Consequence.RELEASE: "立即释放或者变更强制措施；仍羁押的为超期羁押，发纠正违法通知书并层报",
    Consequence.VIOLATION: "违反法定程序，提出纠正意见或者发纠正违法通知书；行为本身一般有效",
    Consequence.LAPSE: "权利或者请求丧失，或者改由其他渠道办理",
    Consequence.FINAL: "判决、裁定发生法律效力",
    Consequence.INTERNAL: "案件管理内部纠正",
    Consequence.NONE: "—",
}

POLICY_TEXTS = {
    Policy.STATE: "机关义务：末日为节假日的顺延，在押的不顺延",
    Policy.RIGHTS: "当事人权利：末日为节假日的顺延，在押也顺延；未顺延的日期为稳妥日",
    Policy.FIXED: "措施的存续期间：不因节假日变动",
    Policy.HOURS: "以时计算：不因节假日变动",
    Policy.LEAD: "从某日向前推算：不因节假日后移",
    Policy.SENTENCE: "刑期：第一日计入",
}

OFFICE_TEXTS = {
    Office.STATUTE: "法律直接规定",
    Office.POLICE: "公安机关",
    Office.POLICE_DEPARTMENT_HEAD: "办案部门负责人",
    Office.COUNTY_POLICE_HEAD: "县级以上公安机关负责人",
    Office.CITY_POLICE_HEAD: "设区的市一级以上公安机关负责人",
    Office.PROCURATORATE: "人民检察院",
    Office.CHIEF_PROCURATOR: "检察长",
    Office.UPPER_PROCURATORATE: "上一级人民检察院",
    Office.PROVINCIAL_PROCURATORATE: "省级人民检察院",
    Office.SUPREME_PROCURATORATE: "最高人民检察院",
    Office.COURT: "人民法院",
    Office.UPPER_COURT: "上一级人民法院",
    Office.HIGH_COURT: "高级人民法院",
    Office.SUPREME_COURT: "最高人民法院",
    Office.NPCSC: "全国人民代表大会常务委员会",
    Office.ORIGINAL_APPROVER: "原批准（决定）机关",
}

BEARER_TEXTS = {
    "police": "公安机关",
    "upper_police": "上一级公安机关",
    "procuratorate": "人民检察院",
    "upper_procuratorate": "上一级人民检察院",
    "court": "人民法院",
    "upper_court": "上级人民法院",
    "first_instance_court": "第一审人民法院",
    "second_instance_court": "第二审人民法院",
    "detention_centre": "看守所",
    "prison": "监狱",
    "legal_aid_agency": "法律援助机构",
    "administrative_agency": "行政执法机关",
    "financial_institution": "金融机构",
    "supervised_unit": "被监督单位",
    "complainant": "控告人",
    "party": "当事人",
    "victim": "被害人",
    "defendant": "被告人",
    "defence": "辩护方",
    "private_prosecutor": "自诉人",
    "civil_party": "附带民事诉讼当事人",
    "bailed_person": "被取保候审人",
    "guarantor": "保证人",
    "person_not_prosecuted": "被不起诉人",
    "person_concerned": "被决定强制医疗的人",
    "relative": "法定代理人、近亲属",
    "owner": "权利人",
    "interested_person": "利害关系人",
    "offender": "罪犯",
}
