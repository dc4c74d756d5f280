"""Migrations of an agency's database; run by the chassis on opening."""

from services.chassis.migrate import run_environment

run_environment()
