"""The same purchase on other engines, each as small and as fair as possible, for `bench --only peers`.

All of them run `HandWork`, on the same database, with two processes of eight threads. They need the extra `peers`.
"""
