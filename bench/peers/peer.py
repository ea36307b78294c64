"""What the peers have in common: each is a process that a benchmark asks, a line of
JSON at a time, to measure something or to show its results, and that answers with a
line of JSON."""

import json
import statistics
import sys
import threading
import time


def answer(operations, about):
    """Answers questions such as {"do": "single", "k": 10} until there are no more."""
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        print(json.dumps(operations[question.pop("do")](**question)), flush=True)


def one_by_one(f, n, seconds):
    """The median time of f(i), for i from 0 to n-1 over and over; all of them at
    least once before, to warm up."""
    for i in range(n):
        f(i)
    times = []
    end = time.perf_counter() + seconds
    while True:
        for i in range(n):
            start = time.perf_counter_ns()
            f(i)
            times.append(time.perf_counter_ns() - start)
            if time.perf_counter() > end:
                return {"value": statistics.median(times)}


def together(f, n, callers, seconds):
    """How many f(i) a second so many threads do, each over all i."""
    done = [0] * callers
    begun = time.perf_counter()

    def call(caller):
        i = caller * n // callers
        while time.perf_counter() - begun < seconds:
            f(i % n)
            i += 1
            done[caller] += 1

    threads = [threading.Thread(target=call, args=(c,)) for c in range(callers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return {"value": sum(done) / (time.perf_counter() - begun)}
