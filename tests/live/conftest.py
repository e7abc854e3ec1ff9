"""Keeps tests that cost money out of everybody's way: they are collected for the provider in CLOUDLLM_LIVE only."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("CLOUDLLM_LIVE") else ["test_live.py"]
