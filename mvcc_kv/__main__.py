"""`python -m mvcc_kv` is `mvcc-kv`."""

from mvcc_kv.cli import main

if __name__ == "__main__":
    main()
