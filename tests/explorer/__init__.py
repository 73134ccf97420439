"""Every interleaving: small transaction programs, run on the real engine in every order that their steps can have.

    programs        what two or three transactions do: up to four operations each, over two or three keys
    interleavings   every order of their steps START, operation ..., COMMIT
    stage           plays a program on an engine in one such order, and notes what each transaction was told
    meaning         what the operations mean, on a dict
    verdict         whether what they were told is what their isolation level promises, by its definition
    explore         all of it together, counted and timed; and the smallest program that shows a fault
    script          a program and an order as a golden script

`python -m tests.explorer --budget-s 600` runs it (make explore BUDGET_S=600).
"""
