#!/bin/sh
# Builds the project's own environment in .venv: `environment.sh run` for what the city needs, `environment.sh dev` for that plus tests
# and checks. Needs Python >= 3.11 and a package index, nothing else; a second call finds its stamp and returns at once.
# Only hash-locked files are installed from (requirements/*.lock). What must not go in: anything that is not about .venv.
set -eu
cd "$(dirname "$0")/.."

mode=${1:-run}
case $mode in run | dev) ;; *) echo "用法 usage: scripts/environment.sh run|dev" >&2; exit 2 ;; esac

say() { printf '%s\n' "· $*"; }
fail() { printf '%s\n' "$@" >&2; exit 1; }

# The stamp holds everything the environment was built from, word for word, and the folder it was built in (scripts inside name it).
wanted() {
    pwd
    cat requirements/tools.lock "requirements/$1.lock"
    awk '/^\[/ { keep = /^\[(build-system|project|tool\.hatch)/ } keep' pyproject.toml
}
built() { [ -f ".venv/built-$1" ] && [ -x .venv/bin/xieban ] && wanted "$1" | cmp -s - ".venv/built-$1"; }
# dev holds all of run in the same versions, so it serves both and is never taken back.
ready() { built dev || { [ "$mode" = run ] && built run; }; }

ready && exit 0
# Two makes at once must not build over one another; the second finds the stamp of the first.
if [ -z "${XIEBAN_ENVIRONMENT_LOCKED:-}" ] && command -v flock >/dev/null 2>&1; then
    export XIEBAN_ENVIRONMENT_LOCKED=1
    exec flock scripts/environment.sh scripts/environment.sh "$mode"
fi
ready && exit 0
mkdir -p .venv
if [ -f .venv/built-dev ]; then mode=dev; fi

recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
whole() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

# The first Python that is new enough and can make an environment; failing that, the first that is new enough.
python=
if [ -n "${XIEBAN_PYTHON:-}" ]; then set -- "$XIEBAN_PYTHON"; else set -- python3 python3.13 python3.12 python3.11; fi
for candidate in "$@"; do
    if recent "$candidate"; then
        if whole "$candidate"; then python=$candidate; break; fi
        python=${python:-$candidate}
    fi
done
[ -n "$python" ] || fail \
    "发生：环境没有建成" \
    "原因：没有找到 Python 3.11 或更新的版本" \
    "办法：安装 Python 3.11 以上，或用 XIEBAN_PYTHON 指明它的位置" \
    "No Python 3.11 or newer was found. Install one, or name it in XIEBAN_PYTHON."

if ! whole "$python"; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "系统的 Python $version 缺少 venv，正在安装 installing python$version-venv"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv"; } </dev/null >.venv/apt.log 2>&1 ||
            { tail -n 20 .venv/apt.log >&2; fail "python$version-venv 安装失败 could not be installed"; }
    fi
    whole "$python" || fail \
        "发生：环境没有建成" \
        "原因：Python $version 缺少 venv 和 ensurepip 模块" \
        "办法：请管理员执行 apt-get install python$version-venv（其他系统安装完整的 Python），再重试" \
        "Python $version lacks venv/ensurepip. Ask an administrator to install python$version-venv, then try again."
fi

rm -f .venv/built-run .venv/built-dev
sound() { recent .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1 && [ "$(cat .venv/place 2>/dev/null)" = "$PWD" ]; }
if ! sound; then
    say "新建环境 creating .venv ($("$python" --version 2>&1))"
    "$python" -m venv --clear .venv
    pwd >.venv/place
fi
PATH="$PWD/.venv/bin:$PATH"
export PATH
unset PYTHONPATH PYTHONHOME

pip_install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input "$@" </dev/null; }

say "安装工具 installing the installer"
pip_install --require-hashes -r requirements/tools.lock || fail \
    "发生：环境没有建成" "原因：安装 requirements/tools.lock 失败（见上）" "办法：检查网络和 pip 的软件源配置后重试" \
    "Installing requirements/tools.lock failed (see above). Check the network and pip's index, then try again."

# uv reads its own settings; a mirror that pip was told of should serve it too.
if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    mirror=${PIP_INDEX_URL:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}
    if [ -n "$mirror" ]; then export UV_DEFAULT_INDEX="$mirror"; fi
fi

say "安装依赖（$mode）installing dependencies"
if .venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes requirements/tools.lock "requirements/$mode.lock" </dev/null; then
    install=".venv/bin/uv pip install --quiet --python .venv/bin/python"
else
    say "uv 未能完成，改用 pip  uv did not manage, trying pip"
    pip_install --require-hashes -r requirements/tools.lock -r "requirements/$mode.lock" || fail \
        "发生：环境没有建成" "原因：安装 requirements/$mode.lock 失败（见上）" "办法：检查网络和 pip 的软件源配置后重试" \
        "Installing requirements/$mode.lock failed (see above). Check the network and pip's index, then try again."
    install=pip_install
fi

say "安装本项目 installing xieban"
$install --no-deps --no-build-isolation --no-index --editable . || fail \
    "发生：环境没有建成" "原因：本项目安装失败（见上）" "办法：核对 pyproject.toml 后重试" \
    "Installing the project itself failed (see above)."
wanted "$mode" >".venv/built-$mode"
say "环境就绪 ready: .venv/bin/xieban"
