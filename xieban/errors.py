"""The one error tree, and the closed catalogue of reasons that crosses the wire intact.

    XiebanError
    ├── InvalidInput    the request itself is wrong           INVALID_ARGUMENT
    ├── NotAllowed      right form, but the law or the state
    │                   of the case forbids it                FAILED_PRECONDITION
    ├── Denied          the caller may not do this            PERMISSION_DENIED
    ├── NotFound        no such thing, or not yours to see    NOT_FOUND
    ├── Conflict        the same name with other content      ALREADY_EXISTS
    ├── TooLarge        over a published size                 RESOURCE_EXHAUSTED
    ├── Unreachable     a peer or a part is not there now     UNAVAILABLE
    └── Broken          a defect of ours                      INTERNAL

A reason never carries case content or a person's name: metadata values are codes, counts and identifiers. Texts are Chinese, in
four parts a clerk can act on: 发生 (what happened), 原因 (why), 办法 (what to do next), 编号 (a stable number to look up).
This module imports nothing of gRPC: `xieban.marshal` carries errors over the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class XiebanError(Exception):
    """Base of every expected failure. Build one with `failure`, which picks the class that belongs to the reason."""

    def __init__(self, reason: Reason, /, **metadata: str) -> None:
        self.reason = reason
        self.metadata = metadata
        super().__init__(f"{reason.number} {self.happened}：{self.cause}")

    @property
    def happened(self) -> str:
        return self.reason.value.happened

    @property
    def cause(self) -> str:
        return self.reason.value.cause.format_map(_Blank(self.metadata))

    @property
    def remedy(self) -> str:
        return self.reason.value.remedy.format_map(_Blank(self.metadata))

    def explain(self) -> str:
        """The four parts as printed to a person."""
        return f"发生：{self.happened}\n原因：{self.cause}\n办法：{self.remedy}\n编号：{self.reason.number}"


class InvalidInput(XiebanError):
    """The request itself is wrong; sending it again unchanged cannot succeed."""


class NotAllowed(XiebanError):
    """The law or the state of the case forbids the act."""


class Denied(XiebanError):
    """The caller is not entitled to this."""


class NotFound(XiebanError):
    """No such thing, or not the caller's to see."""


class Conflict(XiebanError):
    """The same name was used before with other content."""


class TooLarge(XiebanError):
    """Over a published size."""


class Unreachable(XiebanError):
    """A peer or a part is not there now; trying again later can succeed."""


class Broken(XiebanError):
    """A defect of the platform itself."""


@dataclass(frozen=True, slots=True)
class Text:
    """One catalogue row. `cause` and `remedy` may name metadata fields in braces."""

    number: str
    error: type[XiebanError]
    happened: str
    cause: str
    remedy: str


class Reason(Enum):
    """Every reason there is; the member's name is what crosses the wire (google.rpc.ErrorInfo.reason)."""

    # --- 1xxx form of what was sent
    FIELD_INVALID = Text(
        "XB-1001", InvalidInput, "请求未受理", "字段 {field} 不合要求：{detail}", "按接口说明改正该字段后重新提交"
    )
    PAYLOAD_NOT_CANONICAL = Text(
        "XB-1002",
        InvalidInput,
        "报文未受理",
        "报文不是规范编码（多余字段、重复键或写法不同）",
        "用平台发布的编码方法重新生成报文，不要转写",
    )
    TEXT_FORBIDDEN = Text(
        "XB-1003", InvalidInput, "请求未受理", "字段 {field} 含有控制字符或方向控制符", "删除不可见字符后重新提交"
    )
    MESSAGE_TOO_LARGE = Text(
        "XB-1004", TooLarge, "请求未受理", "{what} 为 {size} 字节，上限 {limit} 字节", "拆分或压缩后重新提交"
    )
    SECRET_MARK = Text(
        "XB-1005",
        NotAllowed,
        "涉密材料已拒收，未作任何保存",
        "检出密级标志；本平台不是涉密信息系统",
        "撤下涉密卷宗，按保密规定线下移交",
    )
    OFFICE_UNKNOWN = Text(
        "XB-1006", InvalidInput, "请求未受理", "没有编码为 {office} 的单位", "核对行政区划代码和机关类别"
    )
    # --- 2xxx handoffs and procedure
    KIND_UNKNOWN = Text(
        "XB-2001", InvalidInput, "流转未受理", "没有名为 {kind} 的流转环节", "用 xieban handoff kinds 查看全部环节"
    )
    STAGE_NOT_ALLOWED = Text(
        "XB-2002",
        NotAllowed,
        "流转未受理",
        "案件处于 {stage} 阶段，不能办理 {kind}（{article}）",
        "核对案件阶段，或先完成前一环节",
    )
    PARTY_NOT_ALLOWED = Text(
        "XB-2003",
        NotAllowed,
        "流转未受理",
        "{kind} 不能由 {sender} 发往 {receiver}（{article}）",
        "核对发送和接收单位；须同级对应，报上级经本系统层报",
    )
    OUTCOME_NOT_ALLOWED = Text(
        "XB-2004", InvalidInput, "流转未受理", "{kind} 的结果不能是 {outcome}", "从该环节列出的结果中选择"
    )
    ANSWER_NOT_ALLOWED = Text(
        "XB-2005", NotAllowed, "流转未受理", "{kind} 不能答复 {request}", "核对所答复的流转编号和环节"
    )
    RETURN_LIMIT_REACHED = Text(
        "XB-2006",
        NotAllowed,
        "退回补充侦查未受理",
        "该案已退回补充侦查 {count} 次，以二次为限（刑诉法第一百七十五条）",
        "依法作出起诉或者不起诉决定",
    )
    CLIENT_REF_REUSED = Text(
        "XB-2007",
        Conflict,
        "流转未受理",
        "文号 {client_ref} 已用于另一份内容不同的流转 {handoff}",
        "内容有变更的，使用新的文号发送",
    )
    HANDOFF_NOT_FOUND = Text(
        "XB-2008", NotFound, "没有找到流转", "没有编号为 {handoff} 的流转，或者本单位无权查看", "核对流转编号"
    )
    CASE_NOT_FOUND = Text(
        "XB-2009", NotFound, "没有找到案件", "没有编号为 {case} 的案件，或者本单位无权查看", "核对案件编号"
    )
    STATE_NOT_ALLOWED = Text(
        "XB-2010", NotAllowed, "操作未执行", "流转 {handoff} 当前为 {state}，不能{act}", "查看该流转的回执后再办理"
    )
    ACT_MISSING = Text(
        "XB-2011",
        InvalidInput,
        "流转未受理",
        "{kind} 缺少法律行为 {act} 及其时间（{article}）",
        "补充该行为的法定时间后重新发送",
    )
    STAGE_CONFLICT = Text(
        "XB-2012",
        NotAllowed,
        "流转被拒收",
        "发送方称案件处于 {claimed} 阶段，本单位记录为 {stage}",
        "双方核对案件阶段后由发送方另行发送",
    )
    INTAKE_DEFECT = Text("XB-2013", NotAllowed, "流转未受理", "不符合 {rule}（{article}）：{detail}", "补正后重新发送")
    # --- 3xxx seals and proof
    SEAL_INVALID = Text("XB-3001", Denied, "报文被拒收", "签名与内容不符", "由发送方核对密钥后重新签发；原报文不得改动")
    KEY_UNKNOWN = Text(
        "XB-3002", Denied, "报文被拒收", "密钥 {keyid} 不在公钥目录中，或者不属于 {agency}", "核对公钥目录"
    )
    EQUIVOCATION = Text(
        "XB-3003", Conflict, "报文被拒收", "同一流转编号 {handoff} 出现两份内容", "保留两份原件并联系发送方说明"
    )
    DIGEST_MISMATCH = Text(
        "XB-3004", NotAllowed, "案卷未通过核验", "{item} 的摘要与移送清单不符", "由发送方核对原件后另行发送"
    )
    LANE_BROKEN = Text("XB-3005", NotAllowed, "报文被拒收", "第 {seq} 号报文与前一份不相衔接", "由发送方核对报文顺序")
    PROOF_MALFORMED = Text(
        "XB-3006",
        InvalidInput,
        "证明材料未受理",
        "{what} 的格式有误：{detail}",
        "从原处重新取得原样文件，不要转写或者改动",
    )
    PROOF_INVALID = Text(
        "XB-3007",
        Denied,
        "证明未通过核验",
        "{what}不成立：{detail}",
        "向监督网关重新索取证明；仍不成立的，保留原件并报告政法委",
    )
    QUORUM_NOT_MET = Text(
        "XB-3008",
        Denied,
        "检查点未被采信",
        "{what}有 {count} 份有效，须有 {limit} 份",
        "待见证方联署后重新取得；长时间不足的，报告政法委",
    )
    LOG_FORKED = Text(
        "XB-3009",
        Conflict,
        "检查点被拒绝联署",
        "监督日志第 {size} 条处的树根与本见证方此前见过的前 {limit} 条不相衔接",
        "两份检查点均已留存；立即报告政法委，查明前不再联署",
    )
    CLOCK_SUSPECT = Text(
        "XB-3010", NotAllowed, "检查点没有联署", "本机时间早于上次联署的时间", "校准本机时间；沙箱中向前推进时钟"
    )
    KEY_OUT_OF_SPAN = Text(
        "XB-3021",
        Denied,
        "报文被拒收",
        "密钥 {keyid} 在监督日志序号 {index} 处无效（{detail}）",
        "用信任清单中有效的密钥重新签发；属于密钥泄露的，按 docs/trust.md 处置",
    )
    APPROVAL_MISSING = Text(
        "XB-3041",
        NotAllowed,
        "流转未受理",
        "{kind} 依 {article} 须经负责人批准，缺少{role}的签批",
        "由经办人、审批人分别用本人密钥签批（xieban handoff approve）后重新发送",
    )
    APPROVAL_INVALID = Text(
        "XB-3042", Denied, "流转未受理", "{role}的签批无效：{detail}", "由信任清单所列的本单位人员对同一内容重新签批"
    )
    KEY_MALFORMED = Text(
        "XB-3022", InvalidInput, "密钥未受理", "不是 {algorithm} 的密钥，或者公钥私钥不成对", "重新取得密钥文件"
    )
    ALGORITHM_MISSING = Text(
        "XB-3023", NotAllowed, "签名没有核验", "没有安装 {algorithm} 的程序库", "安装 xieban[sm] 后重试"
    )
    KEY_FILE_EXPOSED = Text(
        "XB-3024",
        NotAllowed,
        "密钥没有使用",
        "私钥文件 {file} 的权限是 {mode}，他人可以读取",
        "查明何人读过；确认没有泄露后执行 chmod 600，否则吊销并更换密钥",
    )
    KEY_FILE_INVALID = Text(
        "XB-3025", InvalidInput, "密钥没有使用", "密钥文件 {file} 无法使用：{detail}", "核对文件和口令"
    )
    TRUST_BROKEN = Text(
        "XB-3026",
        Denied,
        "信任清单未被采信",
        "第 {version} 版不成立：{detail}",
        "从签发单位重新取得原样文件；仍不成立的，不要使用，报告政法委",
    )
    TRUST_UNSIGNED = Text(
        "XB-3027",
        NotAllowed,
        "信任清单尚未生效",
        "第 {version} 版有 {count} 份有效的根签名，须有 {limit} 份",
        "请其余根密钥保管人用 xieban trust sign 签名",
    )
    TRUST_EXPIRED = Text(
        "XB-3028",
        Denied,
        "信任清单未被采信",
        "第 {version} 版已于 {at} 过期",
        "取得新一版信任清单；没有新版的，请根密钥保管人签发",
    )
    TRUST_OLDER = Text(
        "XB-3029",
        Denied,
        "信任清单未被采信",
        "给出的第 {version} 版不能接续本节点用过的第 {seen} 版",
        "放回最新一版信任清单；不得退回旧版",
    )
    TRUST_LACKS = Text(
        "XB-3030",
        NotAllowed,
        "程序没有启动",
        "{what}不在信任清单第 {version} 版中，或者已经停用",
        "把它列入新一版信任清单，或者换用清单中的那一个",
    )
    CERTIFICATE_BARRED = Text(
        "XB-3031",
        Denied,
        "证书未被采信",
        "证书 {fingerprint} 已由信任清单第 {version} 版停用（{detail}）",
        "由注册单位用新的私钥签发新证书，换上后重试；不知情的，查明证书何时被何人取得",
    )
    LOG_KEEPS_OTHER = Text(
        "XB-3033",
        NotAllowed,
        "程序没有启动，日志没有改动",
        "信任清单规定新日志 {log} 保留原日志的前 {keeps} 条，本机日志有 {size} 条",
        "恢复条数与清单一致的备份；没有的，由根密钥保管人签发新一版清单，另行设立日志",
    )
    LOG_BEGINS_EARLY = Text(
        "XB-3034",
        NotAllowed,
        "没有签名，日志没有改动",
        "信任清单规定新日志 {log} 从第 {first} 条之后起，{witness} 的原日志已有 {held} 条",
        "由根密钥保管人签发新一版清单，另行设立起点不早于 {held} 的日志",
    )
    # --- 4xxx statutory time limits
    LIMIT_UNKNOWN = Text(
        "XB-4001",
        InvalidInput,
        "期限没有计算",
        "没有名为 {rule} 的法定期限（刑诉法第一百零五条以下所列期限）",
        "用 xieban limits rules 查看全部期限",
    )
    LIMIT_TIME_NAIVE = Text(
        "XB-4002",
        InvalidInput,
        "期限没有计算",
        "时间 {field} 没有写明时区（{article}）",
        "写成带时区的时间，例如 2025-02-28T09:00:00+08:00",
    )
    LIMIT_FACT_MISSING = Text(
        "XB-4003", InvalidInput, "期限没有计算", "缺少 {field}（{article}）", "补充该项事实后重新计算"
    )
    LIMIT_FACT_INVALID = Text(
        "XB-4004", InvalidInput, "期限没有计算", "{field} 不合要求：{detail}（{article}）", "改正该项事实后重新计算"
    )
    EXTENSION_NOT_ALLOWED = Text(
        "XB-4005",
        NotAllowed,
        "延长没有计入",
        "{rule} 不能由 {by} 批准延长：{detail}（{article}）",
        "核对批准机关和延长的法律依据",
    )
    EXTENSION_TOO_LONG = Text(
        "XB-4006",
        NotAllowed,
        "延长没有计入",
        "{rule} 的延长超过法定幅度或者次数：{detail}（{article}）",
        "按法定幅度和次数重新报批",
    )
    EXTENSION_LATE = Text(
        "XB-4007",
        NotAllowed,
        "延长没有计入",
        "期限已于 {due} 届满，{granted} 才批准延长（{article}）",
        "期限届满后不得延长，依法释放、变更强制措施或者作出决定",
    )
    REQUEST_AFTER_EXPIRY = Text(
        "XB-4008",
        NotAllowed,
        "延长申请不予受理",
        "期限已于 {expiry} 届满，{requested} 才提请（{article}）",
        "依法释放或者变更强制措施；不得再提请延长",
    )
    INTERVAL_REVERSED = Text(
        "XB-4009",
        InvalidInput,
        "期限没有计算",
        "不计入期间 {begin} 至 {end} 的止期早于起期（{article}）",
        "核对起止日期",
    )
    INTERVAL_NOT_EXCLUDED = Text(
        "XB-4010",
        NotAllowed,
        "不计入期间没有采用",
        "{event} 不停止 {rule} 的计算（{article}）",
        "法律没有规定不计入的时间照常计算",
    )
    RESTART_NOT_ALLOWED = Text(
        "XB-4011", NotAllowed, "重新计算没有采用", "{event} 不使 {rule} 重新计算（{article}）", "核对重新计算的法律依据"
    )
    LIMIT_COUNT_REACHED = Text(
        "XB-4012",
        NotAllowed,
        "请求未受理",
        "{what} 已有 {count} 次，以 {limit} 次为限（{article}）",
        "依法作出决定，不得再次办理",
    )
    CALENDAR_OUT_OF_RANGE = Text(
        "XB-4013",
        InvalidInput,
        "期限没有计算",
        "{day} 不在工作日历 {version} 的范围内（节假日顺延：刑诉法第一百零五条第四款）",
        "补充该年度的工作日历文件",
    )
    CALENDAR_INVALID = Text(
        "XB-4014",
        InvalidInput,
        "工作日历没有采用",
        "{file}：{detail}（节假日顺延：刑诉法第一百零五条第四款）",
        "按说明改正工作日历文件",
    )
    STATUTES_INVALID = Text(
        "XB-4015",
        Broken,
        "期限数据没有载入",
        "{file} 第 {row} 条：{detail}（{article}）",
        "改正期限数据；不要在有误的数据上计算期限",
    )
    EXAMPLE_INVALID = Text(
        "XB-4016",
        InvalidInput,
        "算例没有核对",
        "{file} 第 {line} 行：{detail}（格式见 docs/limits.md；计算依据刑诉法第一百零五条）",
        "改正该行后重新核对",
    )
    # --- 5xxx nodes and their parts
    CALLER_UNKNOWN = Text(
        "XB-5001", Denied, "请求被拒绝", "对方证书身份 {identity} 不在允许范围内", "使用本单位的接口证书"
    )
    PEER_UNREACHABLE = Text(
        "XB-5002", Unreachable, "暂时无法连接", "{peer} 没有应答", "稍后自动重试；持续超过十五分钟请联系运维"
    )
    CONFIG_INVALID = Text("XB-5003", InvalidInput, "程序没有启动", "配置 {file} 有误：{detail}", "改正后重新启动")
    DATABASE_NEWER = Text(
        "XB-5004",
        NotAllowed,
        "程序没有启动",
        "数据库 {file} 的版本 {version} 比程序新",
        "换用新版程序，不要用旧程序打开",
    )
    PORT_TAKEN = Text(
        "XB-5005", Unreachable, "程序没有启动", "端口 {port} 已被占用", "停止占用该端口的程序，或在配置中换一个端口"
    )
    BROKER_MISSING = Text(
        "XB-5006",
        Unreachable,
        "程序没有启动",
        "找不到 nats-server 程序",
        "安装依赖，或用 XIEBAN_NATS_SERVER 指向已有的程序",
    )
    SANDBOX_ONLY = Text("XB-5007", NotAllowed, "操作未执行", "模拟时钟只能在沙箱中使用", "正式环境使用系统时钟")
    PAGE_NOT_FOUND = Text("XB-5008", NotFound, "没有这个页面", "网址有误，或者页面已经移动", "从总览重新进入")
    STORAGE_FULL = Text(
        "XB-5009",
        Unreachable,
        "暂时不能写入",
        "本机存储空间已满",
        "清理或扩充磁盘；已收下的内容没有丢失，腾出空间后自动继续",
    )
    DATABASE_IN_USE = Text(
        "XB-5011",
        NotAllowed,
        "操作未执行",
        "数据库 {file} 正由另一个进程使用",
        "先停止该节点；备份（backup）和检查（fsck）不需要停",
    )
    BACKUP_INVALID = Text(
        "XB-5012", InvalidInput, "备份没有采用，现有文件没有改动", "{file}：{detail}", "换用另一份备份"
    )
    DATABASE_AHEAD = Text(
        "XB-5013",
        NotAllowed,
        "恢复没有执行，现有文件没有改动",
        "现有数据库 {file} 比备份新：{detail}",
        "确需退回的加 --force 重做；现有数据库改名留存，不会删除",
    )
    NODE_FENCED = Text(
        "XB-5021",
        Unreachable,
        "节点正在从备份恢复，暂不办理",
        "尚未确认本节点此前签发的全部报文（{waiting}）",
        "待各方节点和监督网关都在线后自动恢复办理；持续不能恢复的，按 docs/operations.md 处置",
    )
    LOG_BEHIND = Text(
        "XB-5022",
        NotAllowed,
        "程序没有启动",
        "监督日志有 {size} 条，{witness} 已经见证过 {held} 条：数据库是从较早的备份恢复的，或者历史不同",
        "恢复一份不少于 {held} 条的备份；没有的，不得继续签发，按 docs/operations.md 处置",
    )
    DEFECT = Text("XB-5999", Broken, "平台内部出错", "出现未预料的情况，已记录（{trace}）", "把编号和时间告诉运维人员")
    # --- 6xxx the command line
    FILE_UNREADABLE = Text("XB-6001", InvalidInput, "命令没有执行", "文件 {file} 无法读取：{detail}", "核对路径和权限")
    CLIENT_UNCONFIGURED = Text(
        "XB-6002", InvalidInput, "命令没有执行", "没有找到接口配置：{detail}", "用 --profile 指定接口配置目录"
    )
    # --- 7xxx notices and supervision
    NOTICE_NOT_FOUND = Text(
        "XB-7001",
        NotFound,
        "没有找到通知",
        "没有编号为 {notice} 的通知，或者本单位无权查看",
        "用 xieban notice list 核对编号",
    )
    SUPERVISION_NOT_FOUND = Text(
        "XB-7002", NotFound, "没有找到督办", "没有编号为 {supervision} 的督办，或者本单位无权查看", "核对督办编号"
    )
    SUPERVISION_STATE = Text(
        "XB-7003",
        NotAllowed,
        "操作未执行",
        "督办 {supervision} 当前为“{state}”，不能{act}",
        "查看该督办的办理过程后再办理",
    )
    SUPERVISION_LIFTED = Text(
        "XB-7004",
        NotAllowed,
        "操作未执行",
        "督办 {supervision} 所据的期限已经查明没有超期，不能{act}",
        "拟稿可以不予发出，已经发出的可以办结",
    )
    DISCARD_UNFOUNDED = Text(
        "XB-7005",
        NotAllowed,
        "操作未执行",
        "监督日志中没有督办 {supervision} 所据期限按期办结或者变更的记录",
        "等待有关流转到达后再办理，或者写明其他理由",
    )
    ESCALATION_EXHAUSTED = Text(
        "XB-7006",
        NotAllowed,
        "操作未执行",
        "督办 {supervision} 已经升至最高一级（{whom}）",
        "办结、退回补充，或者提交协调会",
    )
    PURPOSE_MISSING = Text(
        "XB-7007",
        InvalidInput,
        "案件没有打开",
        "查看案件应当写明事由，为下列之一：{purposes}",
        "写明事由后重新查看；查看的时间、事由和身份记入监督日志，办案机关可以看到",
    )

    @property
    def number(self) -> str:
        return self.value.number


class _Blank(dict[str, str]):
    """Metadata for `format_map`: a field that was not given prints as a dash instead of failing inside an error path."""

    def __missing__(self, key: str) -> str:
        return "—"


def failure(reason: Reason, /, **metadata: object) -> XiebanError:
    """The error of `reason`, in the class the catalogue gives it. Metadata values are turned into strings."""
    return reason.value.error(reason, **{key: str(value) for key, value in metadata.items()})
