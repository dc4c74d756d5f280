# Single verbs. Every target that needs Python builds the environment first (scripts/environment.sh; at once if nothing changed).
# `make check` is exactly what CI runs before the tests.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo up down test test-slow check lint format proto protos-current docs docs-current replay bench lock clean run-env dev-env
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
PACKAGES := $(wildcard xieban services tests scripts bench)
FILE ?=
REPORT ?= var/replay.json

help: ## 显示全部命令 list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run-env:
	@scripts/environment.sh run

dev-env:
	@scripts/environment.sh dev

demo: run-env ## 演示：启动全城、办理真实案件、打开监督页面，Ctrl-C 结束
	@exec $(PY) -m services.stack demo

up: run-env ## 启动全城（无示例数据，保留数据）
	@exec $(PY) -m services.stack up

down: run-env ## 停止 make up 启动的全城
	@exec $(PY) -m services.stack down

replay: run-env ## 回放案件时间线：make replay FILE=<jsonl> [REPORT=<json>]
	@[ -n "$(FILE)" ] || { echo "用法 usage: make replay FILE=<timelines.jsonl> [REPORT=<out.json>]" >&2; exit 2; }
	@exec $(PY) -m services.replay "$(FILE)" --report "$(REPORT)"

test: dev-env ## 测试（一两分钟）
	@scripts/browser.sh
	@exec $(PY) -m pytest

test-slow: dev-env ## 生存测试：杀进程、断消息总线、清空存储
	@exec $(PY) -m pytest -m slow

bench: dev-env ## 性能测试
	@exec $(PY) -m bench

check: lint ## 与 CI 相同的全部检查（测试除外）

lint: dev-env protos-current docs-current ## 静态检查：格式、类型、架构、协议、文档
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy $(PACKAGES)
	.venv/bin/lint-imports --no-logo
	.venv/bin/buf lint protos
	@scripts/breaking.sh

format: dev-env ## 整理格式
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

proto: dev-env ## 由 protos/ 生成 xieban/wire
	scripts/generate_protos.sh

protos-current: dev-env
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT \
	  && { scripts/generate_protos.sh "$$fresh" >"$$fresh/said" 2>&1 || { cat "$$fresh/said"; exit 1; } >&2; } \
	  && diff -r -x __pycache__ "$$fresh/xieban/wire" xieban/wire \
	  && echo "generated code is current" || { echo "xieban/wire is out of date: run make proto" >&2; exit 1; }

docs: dev-env ## 由代码生成 docs/errors.md、docs/limits.md 和单文件核验程序
	$(PY) -m scripts.errors_doc > docs/errors.md.new && mv docs/errors.md.new docs/errors.md
	$(PY) -m scripts.limits_doc > docs/limits.md.new && mv docs/limits.md.new docs/limits.md
	$(PY) -m scripts.verifier_file > verifiers/xieban_verify.py.new && mv verifiers/xieban_verify.py.new verifiers/xieban_verify.py

docs-current: dev-env
	@$(PY) -m scripts.errors_doc | diff - docs/errors.md && $(PY) -m scripts.limits_doc | diff - docs/limits.md && $(PY) -m scripts.verifier_file | diff - verifiers/xieban_verify.py && echo "generated docs are current" \
	  || { echo "generated docs are out of date: run make docs" >&2; exit 1; }

lock: dev-env ## 重新锁定依赖（只升级 pyproject.toml 要求的）
	@scripts/lock.sh

clean: ## 删除环境、缓存和本地数据
	rm -rf .venv var dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
