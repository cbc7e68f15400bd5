from common.first import run

run("workers.main")
