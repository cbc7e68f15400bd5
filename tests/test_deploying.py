"""deploy/kubernetes and deploy/systemd are what Kubernetes and systemd take, run what the Procfile names, and hold no secret."""

import configparser
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from honcho.environ import parse_procfile

from common.settings import Settings, settings
from models.db import transaction
from models.jobs import ringing
from models.jobs.tables import QUEUES
from tests.models.hands import change
from tests.support import account, claimed, model, one, placed

ROOT = Path(__file__).resolve().parents[1]
KUBERNETES = ROOT / "deploy" / "kubernetes"
SYSTEMD = ROOT / "deploy" / "systemd"
VERSIONS = ("1.29", "1.37")  # the oldest that is meant, and a new one
SECRETS = {name.upper() for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)}
SECRETS |= {"DATABASE_URL", "REDIS_URL", "S3_ACCESS_KEY_ID"}


def files() -> list[Path]:
    return [path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"]


def objects() -> Iterator[dict[str, Any]]:
    for path in files():
        yield from yaml.safe_load_all(path.read_text())


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in objects() if each["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    return {
        name: each["spec"]["template"]["spec"] for kind in ("Deployment", "Job") for name, each in named(kind).items()
    }


def schema_faults(thing: dict[str, Any]) -> list[str]:
    """What Kubernetes' own schemas say of an object, or for KEDA's what its documents do."""
    if thing["apiVersion"].startswith("keda.sh/"):
        return keda_faults(thing)
    found = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{version}: {thing['kind']} {'.'.join(map(str, error.path))}: {error.message[:200]}")
    return found


def keda_faults(thing: dict[str, Any]) -> list[str]:
    spec = thing["spec"]
    if thing["kind"] == "TriggerAuthentication":
        refs = spec["secretTargetRef"]
        return [f"secretTargetRef {each}" for each in refs if set(each) != {"parameter", "name", "key"}]
    known = {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "advanced", "triggers"}
    found = [f"unknown {name}" for name in spec.keys() - known]
    found += ["replicas"] if not 0 < spec["minReplicaCount"] <= spec["maxReplicaCount"] else []
    for each in spec["triggers"]:
        said = each["metadata"]
        found += [
            f"unknown {name}" for name in each.keys() - {"type", "name", "metricType", "metadata", "authenticationRef"}
        ]
        found += [f"type {each['type']}"] if each["type"] != "postgresql" else []
        found += [f"metricType {each['metricType']}"] if each["metricType"] not in {"AverageValue", "Value"} else []
        found += [f"metadata {sorted(said)}"] if set(said) != {"query", "targetQueryValue"} else []
        found += [f"{name} is no text" for name, value in said.items() if not isinstance(value, str)]
    names = [each["name"] for each in spec["triggers"]]
    return found + (["two triggers of a name"] if len(set(names)) < len(names) else [])


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_every_object_is_one_that_kubernetes_takes(path: Path) -> None:
    things = list(yaml.safe_load_all(path.read_text()))
    assert things
    assert [fault for each in things for fault in schema_faults(each)] == []


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Deployment", {"replicas": "two"}), ("Deployment", {"grace": 5}), ("PodDisruptionBudget", {"maxUnavailable": []}),
        ("ScaledObject", {"fallbacks": {}}), ("ScaledObject", {"minReplicaCount": 50}),
    ],
)  # fmt: skip
def test_an_object_that_is_none_is_found(kind: str, change: dict[str, Any]) -> None:
    thing = next(iter(named(kind).values()))
    assert schema_faults(thing) == []
    assert schema_faults({**thing, "spec": {**thing["spec"], **change}}) != []


def test_the_folders_list_the_files_that_lie_in_them() -> None:
    for folder in {path.parent for path in files()}:
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        assert {each for each in listed if each.endswith(".yaml")} == {
            path.name for path in folder.glob("*.yaml") if path.name != "kustomization.yaml"
        }


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on this machine")
def test_the_example_is_put_together_with_an_image_settings_and_a_namespace() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / "overlays" / "example"], capture_output=True, text=True, check=True
    )
    things = list(yaml.safe_load_all(done.stdout))
    assert [fault for each in things for fault in schema_faults(each)] == []
    assert len(things) == len(list(objects())) + 1  # the settings are made
    made = next(each for each in things if each["kind"] == "ConfigMap")
    for each in things:
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "headrace"
        if each["kind"] in {"Deployment", "Job"}:
            container = each["spec"]["template"]["spec"]["containers"][0]
            assert container["image"].startswith("registry.example.com/headrace:")
            assert container["envFrom"][0]["configMapRef"]["name"] == made["metadata"]["name"]


def test_the_deployments_are_the_procfile_with_each_queue_apart() -> None:
    commands = {" ".join(each["containers"][0]["args"]) for each in pods().values()}
    procfile = set(parse_procfile((ROOT / "Procfile").read_text()).processes.values())
    assert commands == procfile - {"python -m workers"} | {f"python -m workers --queues {each}" for each in QUEUES} | {
        "headrace migrate"
    }
    assert set(named("ScaledObject")) == {f"headrace-worker-{queue}" for queue in QUEUES}
    assert set(named("PodDisruptionBudget")) == set(named("Deployment"))


def test_each_selector_finds_the_pods_of_its_name() -> None:
    for name, each in named("Deployment").items():
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert each["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert named("PodDisruptionBudget")[name]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    api = named("Deployment")["headrace-api"]["spec"]["template"]["metadata"]["labels"]
    assert named("Service")["headrace-api"]["spec"]["selector"].items() <= api.items()
    others = [each for name, each in named("Deployment").items() if name != "headrace-api"]
    assert not any(
        named("Service")["headrace-api"]["spec"]["selector"].items()
        <= each["spec"]["template"]["metadata"]["labels"].items()
        for each in others
    )


def test_who_is_stopped_is_waited_for_long_enough() -> None:
    graces = {name: each.get("terminationGracePeriodSeconds", 30) for name, each in pods().items()}
    units = {path.name: service(path) for path in SYSTEMD.glob("*.service")}
    stops = {name: int(each["TimeoutStopSec"]) for name, each in units.items() if "TimeoutStopSec" in each}
    longest = Settings.model_fields["worker_stop_seconds"].default
    assert {graces[f"headrace-worker-{queue}"] > longest for queue in QUEUES} == {True}
    assert stops["headrace-worker@.service"] > longest
    timeout = next(each.le for each in Settings.model_fields["webhook_timeout_seconds"].metadata if hasattr(each, "le"))
    assert min(graces["headrace-deliver"], stops["headrace-deliver.service"]) > timeout


def test_pods_run_as_nobody_in_particular_and_write_to_their_scratch_alone() -> None:
    for name, pod in pods().items():
        container = pod["containers"][0]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert [each["mountPath"] for each in container["volumeMounts"]] == ["/tmp"]
        assert container["resources"]["limits"]["memory"]
    probes = pods()["headrace-api"]["containers"][0]
    assert probes["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_no_file_holds_a_secret_and_settings_exist() -> None:
    assert not named("Secret")
    example = yaml.safe_load((KUBERNETES / "overlays" / "example" / "kustomization.yaml").read_text())
    given = {each.partition("=")[0] for each in example["configMapGenerator"][0]["literals"]}
    assert given <= {name.upper() for name in Settings.model_fields}
    assert given & SECRETS == set()
    for path in SYSTEMD.glob("*.service"):
        assert not re.search(rf"^Environment=.*\b({'|'.join(SECRETS)})=", path.read_text(), re.MULTILINE)


def service(path: Path) -> dict[str, str]:
    """The last word on each setting of a unit's [Service]."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]  # as it is written
    parser.read(path)
    return dict(parser["Service"])


def test_the_units_run_what_the_procfile_names() -> None:
    commands = {
        service(path)["ExecStart"].removeprefix("/opt/headrace/.venv/bin/") for path in SYSTEMD.glob("*.service")
    }
    procfile = set(parse_procfile((ROOT / "Procfile").read_text()).processes.values())
    assert commands == procfile - {"python -m workers"} | {"python -m workers --queues %i", "headrace migrate"}
    wanted = re.search(r"^Wants=(.*)$", (SYSTEMD / "headrace.target").read_text(), re.MULTILINE)
    assert wanted
    named_here = {re.sub(r"@\w+", "@", each) for each in wanted[1].split()}
    assert named_here == {path.name for path in SYSTEMD.glob("*.service")} - {"headrace-migrate.service"}
    assert {f"headrace-worker@{queue}.service" for queue in QUEUES} <= set(wanted[1].split())


def test_the_units_are_closed() -> None:
    for path in SYSTEMD.glob("*.service"):
        said = service(path)
        for name, value in {
            "DynamicUser": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "CapabilityBoundingSet": "",
            "NoNewPrivileges": "yes", "SystemCallFilter": "@system-service", "EnvironmentFile": "/etc/headrace/environment",
        }.items():  # fmt: skip
            assert said[name] == value, f"{path.name}: {name}"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd on this machine")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for path in SYSTEMD.iterdir():
        text = path.read_text().replace("WorkingDirectory=/opt/headrace", "WorkingDirectory=/")
        (tmp_path / path.name).write_text(re.sub(r"/opt/headrace/\.venv/bin/\w+", "/bin/true", text))
    units = [path for path in tmp_path.iterdir() if "@" not in path.name] + [
        tmp_path / "headrace-worker@interactive.service"
    ]
    command = ["systemd-analyze", "verify", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "headrace" in line]) == (0, [])
    (tmp_path / "headrace-api.service").write_text("[Service]\nExecStart=/bin/true\nProtectSystem=mostly\n")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "protect system value" in done.stderr


def asked(queue: str) -> dict[str, int]:
    """What KEDA hears of a queue."""
    triggers = named("ScaledObject")[f"headrace-worker-{queue}"]["spec"]["triggers"]
    return {each["name"]: int(one(each["metadata"]["query"].replace("%", "%%"))[0]) for each in triggers}


@pytest.mark.usefixtures("database")
def test_workers_are_scaled_by_what_is_there_to_do_in_their_queue() -> None:
    change("update plans set slots = 3 where id = 'free'")
    who, offer = account(amount=9), model()
    assert asked("interactive") == {"work": 0, "wait": 0}
    jobs = [placed(who, offer) for _ in range(5)]
    assert asked("interactive")["work"] == 3, "who waits for a slot of the account's own is no work for one more worker"
    assert asked("batch") == {"work": 0, "wait": 0}
    claimed(jobs[0])
    assert asked("interactive")["work"] == 3, "a step that a thread is at is work"
    change("update job_runs set lease_owner = null, wake_at = app_now() + interval '9 s' where job_id = %s", jobs[0])
    assert asked("interactive")["work"] == 2, "a job at its provider takes no thread"


@pytest.mark.usefixtures("database")
def test_how_long_the_first_in_line_has_waited_is_told_by_its_rings() -> None:
    assert settings().ring_again_seconds == 15
    placed(account(amount=9), model())
    change("update job_runs set created_at = created_at - interval '1 day'")  # in which it waited for a slot
    assert asked("interactive")["wait"] <= 2
    waited = 0
    for pause in (15, 15, 30, 60, 60, 60):
        waited += pause
        change("update job_runs set wake_at = wake_at - make_interval(secs => %s)", pause)
        assert 0 <= asked("interactive")["wait"] - waited <= 3
        with transaction() as conn:
            assert len(ringing.due(conn, 9)) == 1
        assert 0 <= asked("interactive")["wait"] - waited <= 3
