"""A puller of the registries, written from docs/pulling.md alone: begins with a snapshot, follows both logs, proves its digests.

    client.py URL CA CERTIFICATE KEY STATE

keeps cursor, digest and records in the file STATE, and says what it holds.
"""

import hashlib
import http.client
import json
import os
import ssl
import sys
import time
import urllib.parse

KINDS = {"institution": "institutions", "caregiver": "caregivers"}


def get(connection, path):
    """The lines of an answer; asks again when it is told to come later."""
    while True:
        connection.request("GET", path, headers={"Accept": "application/x-ndjson"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status not in (429, 503):
            break
        time.sleep(int(answer.headers["Retry-After"]))
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status} {json.loads(body)['detail']}")
    lines = body.removesuffix(b"\n").split(b"\n")
    trailer = json.loads(lines.pop()).get("trailer")
    return lines, trailer or sys.exit(f"{path}: no trailer, the answer is incomplete")


def take(state, line):
    item = json.loads(line)
    kind = state[KINDS[item["kind"]]]
    kind["digest"] = hashlib.sha256(bytes.fromhex(kind["digest"]) + line).hexdigest()
    if item["change"] == "delete":
        kind["records"].pop(item["id"], None)
    else:
        kind["records"][item["id"]] = item["record"]


def prove(what, kind, digest):
    if kind["digest"] != digest:
        sys.exit(f"{what}: the digest differs; take a new snapshot")


def pull(connection, path):
    if os.path.exists(path):
        with open(path) as file:
            state = json.load(file)
    else:
        lines, trailer = get(connection, "/province/v1/snapshot")
        state = {of: {"digest": "00" * 32, "records": {}, "cursor": trailer[of]["cursor"]} for of in KINDS.values()}
        for line in lines:
            take(state, line)
        for of in KINDS.values():
            prove("snapshot", state[of], trailer[of]["digest"])
    for of in KINDS.values():
        more = True
        while more:
            cursor = urllib.parse.quote(state[of]["cursor"])
            lines, trailer = get(connection, f"/province/v1/{of}?cursor={cursor}&limit=500")
            for line in lines:
                take(state, line)
            prove(of, state[of], trailer["digest"])
            state[of]["cursor"], more = trailer["cursor"], trailer["more"]
    with open(path + ".new", "w") as file:
        json.dump(state, file)
    os.replace(path + ".new", path)
    return state


if __name__ == "__main__":
    url, ca, certificate, key, path = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(certificate, key)
    address = urllib.parse.urlsplit(url)
    held = pull(http.client.HTTPSConnection(address.hostname, address.port, context=context, timeout=60), path)
    print(json.dumps({of: sorted(held[of]["records"]) for of in KINDS.values()}))
