"""Batches of variants, prices, stock changes and transfers: each row is done or refused for itself, each batch once.

Public modules: `forms` (checked on receipt), `results` (what becomes of each row).
"""

from pipeline.catalog.batches.service import PAUSE_SHARE, CatalogService, Change, WrittenBatch, record_change

__all__ = ["PAUSE_SHARE", "CatalogService", "Change", "WrittenBatch", "record_change"]
