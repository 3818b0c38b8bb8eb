"""The same purchase on other engines, each as small and as honest as it can be: what `bench --only peers` measures.

All of them run `HandWork`, on the same database, with two processes of eight threads. They need the extra `peers`.
"""
