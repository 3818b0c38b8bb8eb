"""The conformance suite: the tests that every gateway must pass.

    pytest -p pipeline.gateways.conformance.plugin --gateway my_package.testing:build

`subject.py` describes `build`. The modules `test_*` are the suite. Nothing else in the engine imports pytest (the extra
`testing`).
"""
