from common.first import run

run("scheduler.main")
