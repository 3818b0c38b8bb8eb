"""The conformance suite: what every gateway must do, as tests that run on any adapter.

    pytest -p pipeline.gateways.conformance.plugin --gateway my_package.testing:build

`build` is described in `subject.py`. The modules `test_*` are the suite; pytest is imported by nothing else of the
engine (the extra `testing`).
"""
