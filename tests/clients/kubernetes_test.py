#!/usr/bin/env python3
"""Checks tools/deploy/kubernetes against the schemas of PyPI's kubernetes-validate, and what no schema knows.

Run by hand:  pip install kubernetes-validate pyyaml;  python3 tests/clients/kubernetes_test.py
"""
import kubernetes_validate
import yaml

from served import ROOT


def main():
    version = kubernetes_validate.latest_version()
    found = {}
    for path in sorted((ROOT / "tools/deploy/kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            kubernetes_validate.validate(document, version, strict=True)
            found[document["kind"]] = document
    assert {"ConfigMap", "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"} <= set(found), found.keys()
    # A wrong field is seen, or the check above would say nothing.
    broken = dict(found["Service"], spec=dict(found["Service"]["spec"], ports="none"))
    try:
        kubernetes_validate.validate(broken, version, strict=True)
        raise SystemExit("a broken manifest passed")
    except kubernetes_validate.ValidationError:
        pass
    config = yaml.safe_load(found["ConfigMap"]["data"]["server.yaml"])
    pod = found["Deployment"]["spec"]["template"]
    assert pod["spec"]["terminationGracePeriodSeconds"] > config["drain_s"] + 5
    assert pod["metadata"]["labels"] == found["Service"]["spec"]["selector"] == \
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]
    assert found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    assert pod["spec"]["containers"][0]["ports"][0]["containerPort"] == config["port"]
    print(f"ok: {', '.join(sorted(found))} against Kubernetes {version}")


if __name__ == "__main__":
    main()
