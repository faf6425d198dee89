"""What the kit calls its own objects in the gateway."""

PROBE = "llm-gateway-probe"  # the model that `verify` answers itself (services/probe_model.py)
INTERNAL = "llm-gateway-internal"  # team, user and customer of the kit's own calls: nobody pays for them
VERIFY = "llm-gateway-verify"  # what the names of objects begin with that a proof makes and removes
ONCE = f"{VERIFY}-once-"  # … and of those that have another name each time; Prometheus keeps no series of them
