from common.first import run

run("workers.deliver.main")
