from common.first import run

run("api.main")
