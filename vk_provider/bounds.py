"""Every bound on what a pod, an API object, a cloud's answer or a stranger decides the size of; each with its reason.

A bound is checked before the work it bounds: what is too large is refused before anything is built from it. Those here
are ours, so that one pod holds the event loop for 50 ms at most and a fixed share of the memory. What a cloud takes at
most is far less in most places, and stands with its driver.
"""

from __future__ import annotations

KIB, MIB = 2**10, 2**20

# --- a pod, as it is written ------------------------------------------------------------------------------------------
# An API server stores 1.5 MiB of one object, whatever its shape. To judge an entry takes about a microsecond.

MOST_ENTRIES = 40_000  # list items and map entries all told: 20 containers of 500 variables have 30,000
MOST_ITEMS = 1_000  # of one list or map
MOST_OF_LIST = {  # where each item costs far more than to be read
    "containers": 50,
    "initContainers": 50,
    "volumes": 200,
    "imagePullSecrets": 100,  # one request to the API server each
    "readinessGates": 100,  # looked at with every status
}
MOST_TEXT = 1_280 * KIB  # bytes of text all told: to encode that much takes 70 ms, which is done piece by piece
MOST_DEPTH = 50  # Kubernetes' own types are 15 deep
MOST_IMAGE = 1_024  # characters of an image's name: registries take 255 and a digest

# --- a pod, as it becomes ---------------------------------------------------------------------------------------------

# Bytes of one variable, argument or command word that is put together: Linux' MAX_ARG_STRLEN, no program gets more. One
# that stays as it is written may be as long as it is.
MOST_WORD = 128 * KIB
MOST_PATH = 4 * KIB  # bytes of a path within a volume: Linux' PATH_MAX
MOST_CONTENT = 1_280 * KIB  # bytes of words and files of one pod, as for MOST_TEXT
MOST_KEYS = 20_000  # of ConfigMaps and Secrets that variables and files are made of, each counted where it is used
MOST_SERVICE_PORTS = 100  # of one Service: each is seven variables
MOST_SERVICE_VARIABLES = 2_000  # of a container: anybody in the namespace makes more Services

# --- what a pod refers to ---------------------------------------------------------------------------------------------

MOST_OBJECTS = 128  # ConfigMaps, Secrets and claims of one pod: one request to the API server each, at each try
MOST_TOKENS = 20  # of one pod: the API server signs each
MOST_OBJECT_BYTES = 8 * MIB  # of all of them together; one has 1 MiB at most
MOST_MOUNT_OPTIONS = 4 * KIB  # characters, of one volume: Linux takes a page of them
MOST_LOGINS = 200  # for registries, of one pod: each is held against each image
MOST_LOGIN_KEY = 512  # characters of a registry's address; one that is longer fits no image's name
MOST_UNKNOWN_KEYS = 10  # annotations with our prefix that are looked up for the nearest one we know: 1 ms each

# --- what is kept of pods that have ended -----------------------------------------------------------------------------

MOST_ENDED_LOG = 64 * KIB  # bytes of one container's log whose instance this node stopped
MOST_ENDED_LOGS = 8 * MIB  # of all of them together

# --- answers ----------------------------------------------------------------------------------------------------------
# In bytes, after decompression.

# One object. A request has 3 MiB at most (apiserver's MaxRequestBodyBytes), and one character in it may take six in the
# answer (`<` is written as `\u003c`): with less, one tenant's object would cut off everybody's watch.
MOST_ANSWER = 20 * MIB
# A list, or a page of one, whose objects are read one by one. 5,000 pods of 10 KiB, as a server sends them that takes
# no limit for a certain version.
# A review of a pod by a webhook: the pod, at most what a request may hold, and once more in another guise.
MOST_REVIEW = 8 * MIB
MOST_LIST = 64 * MIB
MOST_PAGES = 20_000  # of one listing: 10,000 pods, one by one
MOST_CLOUD_PAGES = 1_000  # of one listing: 20,000 groups, or 200,000 statuses
MOST_CLOUD_ANSWER = 32 * MIB  # a page of 200 statuses has 1 MiB, 20 groups with 1.25 MiB of words each have 25
MOST_REPORTS = 200  # containers, or conditions, of one instance
MOST_CLOUD_EVENTS = 500  # of one instance, the last it is told with

# --- idle capacity ----------------------------------------------------------------------------------------------------
# Of cluster-wide objects, which a cluster's administrator writes; a pod is held against them once a change of either.

MOST_BUCKETS = 10_000  # of one histogram: 0.1 vCPU wide up to 1,000
MOST_QOS_OBJECTS = 200  # of one kind: PodQOS are held against each preemptible pod
MOST_QOS_RULES = 50  # of one NodeQOS, each evaluated every 10 s
MOST_SELECTOR_TERMS = 100  # labels and expressions of one selector, and values of one expression
MOST_ESTIMATORS = 20  # of one prediction, each costs some milliseconds a fit
MOST_PREDICTIONS = 20  # metrics of one TimeSeriesPrediction

# --- what people read -------------------------------------------------------------------------------------------------

MOST_MESSAGE = 4_096  # characters of an error, and so of a pod's status
# Of one pod: what came out of Secrets into its words is looked for in what the cloud tells of it.
MOST_SIEVED = 1_024  # characters of a value
MOST_SIEVED_VALUES = 64  # each length among them is a pass over a message: 64 of them over the longest take 40 ms
MOST_SIEVED_MESSAGES = 32
MOST_REFUSALS = 200  # of one pod: nobody mends more at once, and each is held against the others
MOST_REASON = 600  # characters of one refusal, the values in it among them
MOST_FIELD = 300  # characters of a field's path, which has a label's or an annotation's key in it
MOST_EVENT = 1_024  # bytes of an event's message: what the API server takes of the newer kind
MOST_EVENT_REASON = 128
MOST_LOG_VALUE = 1_000  # characters of one value in a log line
MOST_LOG_LINE = 8_000
MOST_EPHEMERAL = 100  # ephemeral containers that get a status


def shortened(text: str, most: int) -> str:
    """The text in at most `most` characters, with a word on what is missing."""
    if len(text) <= most:
        return text
    left_out = f"… ({len(text):,} characters)"
    return text[: max(0, most - len(left_out))] + left_out


def shortened_bytes(text: str, most: int) -> str:
    """As `shortened`, in bytes of UTF-8. Half a surrogate pair, which has none, becomes `?`."""
    encoded = text[: most + 1].encode(errors="replace")
    if len(text) <= most and len(encoded) <= most:
        return text
    left_out = "…"
    return encoded[: most - len(left_out.encode())].decode(errors="ignore") + left_out
