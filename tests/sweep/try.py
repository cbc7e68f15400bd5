import sys, time, tempfile, logging
from pathlib import Path
from cli.embedded.servers import servers
from tests.conftest import FAST
from tests.sweep.house import house, template
from tests.sweep.sweeping import record, sweep
from tests.sweep.boundary import Fault
logging.disable(logging.CRITICAL)
with tempfile.TemporaryDirectory(dir="/dev/shm") as d:
    t=time.time()
    with servers(Path(d), postgres_settings=FAST) as a:
        template(a)
        print("up", time.time()-t)
        with house(a, 0, Path(d)) as h:
            print("house", time.time()-t)
            for name in sys.argv[1:]:
                t=time.time()
                calls, bad = record(h, name)
                print(name, len(calls), time.time()-t)
                for i,c in enumerate(calls): print(i, c.process, c.sort, c.name, c.ways)
                for b in bad: print("BAD", b)
                todo=[(Fault(i,w),) for i,c in enumerate(calls) for w in c.ways]
                t=time.time()
                found=sweep(h,name,todo,calls)
                print(len(todo),"runs",time.time()-t, len(found), "violations")
                for b in found: print(b.command(), "|", b.call, "|", b.rule, b.seen[:250])
