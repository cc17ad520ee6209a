"""The script a rented machine runs from its start on: it lets the owner in, and destroys the machine at its end.

It holds no key of the account. vast gives every machine a key that can only stop and destroy that machine; RunPod's key
inside a pod is documented as the pod's own, and that it may delete the pod is not proven.
"""

from __future__ import annotations

from typing import NamedTuple

LARGEST = 4048
"""Bytes that vast takes."""
_DESTROY = {
    "vast": (
        'curl -sS -m 30 -X DELETE -H "Authorization: Bearer $CONTAINER_API_KEY" "{url}/api/v0/instances/$CONTAINER_ID/"'
    ),
    "runpod": 'curl -sS -m 30 -X DELETE -H "Authorization: Bearer $RUNPOD_API_KEY" "{url}/v2/pods/$RUNPOD_POD_ID"',
}
_SCRIPT = """mkdir -p ~/.ssh $HOME/afs-job && chmod 700 ~/.ssh && echo '{public_key}' >> ~/.ssh/authorized_keys
touch $HOME/afs-job/heartbeat
cat > $HOME/afs-job/watchdog.sh <<'END'
idle=0
while sleep {every}; do
  now=$(date +%s)
  beat=$(stat -c %Y $HOME/afs-job/heartbeat 2>/dev/null || echo 0)
  use=$(nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null | sort -n | tail -1)
  if [ -n "$use" ] && [ "$use" -lt 3 ] 2>/dev/null; then idle=$((idle + {every})); else idle=0; fi
  why=
  [ "$now" -ge {deadline} ] && why=deadline
  [ $((now - beat)) -ge {silence} ] && why="no heartbeat"
  [ "$idle" -ge {idle} ] && why="GPU idle"
  [ -e $HOME/afs-job/fetched ] && why=done
  if [ -n "$why" ]; then echo "$why" > $HOME/afs-job/why; {destroy}; fi
done
END
(setsid nohup sh $HOME/afs-job/watchdog.sh > $HOME/afs-job/watchdog.log 2>&1 &)
"""


class Patience(NamedTuple):
    """How often the watchdog looks, and how long it bears silence and an idle card, in seconds."""

    every: int = 30
    silence: int = 1200
    idle: int = 1800


DEFAULT_PATIENCE = Patience()


def onstart_script(
    provider: str, url: str, public_key: str, deadline: float, patience: Patience = DEFAULT_PATIENCE
) -> str:
    """The script; providers without a key inside the machine only let the owner in."""
    destroy = _DESTROY.get(provider, "true").format(url=url)
    script = _SCRIPT.format(
        public_key=public_key.strip(),
        every=patience.every,
        deadline=int(deadline),
        silence=patience.silence,
        idle=patience.idle,
        destroy=destroy,
    )
    assert len(script.encode()) <= LARGEST, "the start script is longer than vast takes"
    return script
