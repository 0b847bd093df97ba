"""Call each function of lariat.h in each wrong way, through ctypes: NULL for every pointer, stale
ids, the wrong thread, inside callbacks of each kind, and inside a log callback.

    python3 every_function.py LIBRARY HEADER

The functions and their parameters come from the header, so that no function is forgotten: a new one
must refuse everything, unless it is named below. A crash fails the test as well.
"""

import ctypes as c
import fcntl
import os
import re
import resource
import socket
import struct
import sys
import threading

OK, STOPPED, INVALID, GONE, BUSY, WRONG_THREAD, IO, UNSUPPORTED, NOT_FOUND = 0, 1, -1, -2, -6, -8, -9, -10, -11

# The pointers that may be NULL: those of the host, callbacks, and results that nobody wants.
MAY_BE_NULL = {
    *((name, "callback") for name in ["request", "open", "message", "pong", "close", "drain", "timer"]),
    ("lariat_set_log", "callback"),
    ("lariat_set_data", "data"),
    ("lariat_post", "dropped"),
    ("lariat_connect", "id"),
    ("lariat_set_timer", "timer"),
    ("lariat_publish", "count"),
    ("lariat_broadcast", "count"),
}
MAY_BE_NULL = {(f"lariat_on_{name}" if "_" not in name else name, parameter) for name, parameter in MAY_BE_NULL}
# The functions that any thread can call.
ANY_THREAD = {"lariat_post", "lariat_stop"}
# The functions whose failure is not a status, and what they return then.
FAILURE = {"lariat_timeout": 0, "lariat_data": None, "lariat_request_is_same_origin": 0, "lariat_request_names_local_host": 0}
# What a client that is open and has no subprotocol gets in a callback, where that is not LARIAT_OK.
IN_CALLBACK = {"lariat_subprotocol": NOT_FOUND, "lariat_trust": (INVALID, UNSUPPORTED), "lariat_cancel_timer": GONE,
               "lariat_reload_tls": (OK, UNSUPPORTED)}
# These end what the other calls need.
LAST = ["lariat_close", "lariat_terminate", "lariat_stop"]


def check(is_right, *what):
    if not is_right:
        print("FAILED:", *what, "-", lib.lariat_last_error().decode(), flush=True)
        os._exit(1)  # also inside a callback, where an exception would be lost


# ---- the header ---------------------------------------------------------------------------------

INTEGERS = {"int": c.c_int, "uint16_t": c.c_uint16, "uint32_t": c.c_uint32, "uint64_t": c.c_uint64, "size_t": c.c_size_t}
RESULTS = {"int": c.c_int, "const char *": c.c_char_p, "void *": c.c_void_p}


def parse(header):
    """Return each function: its name, what it returns, and its parameters with their types."""
    functions = {}
    code = re.sub(r"//.*", "", header[header.index('extern "C" {'):])
    for result, name, parameters in re.findall(r"^(\w[\w ]*?[ *]+)(lariat_\w+)\(([^;]*)\);", code, re.M | re.S):
        parsed = {}
        for parameter in [] if parameters == "void" else parameters.split(","):
            kind, parameter = re.fullmatch(r"(.*?)(\w+)", " ".join(parameter.split())).groups()
            kind = kind.strip()
            parsed[parameter] = c.c_void_p if kind.endswith(("*", "_fn")) else INTEGERS[kind]
            if kind == "const char *":
                given_texts.add((name, parameter))
        functions[name] = (RESULTS[result.strip() if result.strip() == "int" else result], parsed)
    return functions


given_texts = set()
text = open(sys.argv[2]).read()
functions = parse(text)
lib = c.CDLL(sys.argv[1])
for name, (result, parameters) in functions.items():
    getattr(lib, name).restype = result
    getattr(lib, name).argtypes = list(parameters.values())
# The header's own words about callbacks.
busy = re.search(r"which return LARIAT_BUSY \(lariat_timeout: 0\):(.*?)\. Calls only queue", text, re.S).group(1)
BUSY_IN_CALLBACKS = set(re.findall(r"lariat_\w+", busy))
check(len(functions) > 50 and len(re.findall(r"^[a-z].*?lariat_\w+\(", text[text.index('extern "C" {'):], re.M)) == len(functions),
      "the header was not understood", len(functions))
check(BUSY_IN_CALLBACKS < set(functions), "the header names a function that is not there", BUSY_IN_CALLBACKS)


# ---- what they are given ------------------------------------------------------------------------

server, request, client = c.c_void_p(), c.c_void_p(), 0
callbacks = {}
keep = [c.create_string_buffer(64), c.create_string_buffer(b"x"), c.create_string_buffer(256)]
keep[2][:8] = struct.pack("N", 112)
BUFFER, TEXT, STATS = (c.addressof(each) for each in keep)
URL = c.create_string_buffer(b"ws://127.0.0.1:1/")
HEADERS = c.create_string_buffer(b"X: y")
FREE = c.create_string_buffer(b"127.0.0.1:0")
GOOD = {
    "id": lambda: client, "code": lambda: 1000, "kind": lambda: 1, "size": lambda: 64, "buffer": lambda: BUFFER,
    "stats": lambda: STATS, "user": lambda: None, "option": lambda: 1, "part": lambda: 2, "level": lambda: 1,
    "server": lambda: server.value, "request": lambda: request.value, "after_ms": lambda: 10_000, "index": lambda: 0, "descriptor": lambda: 0,
    "deadline_ms": lambda: 100, "callback": lambda: NOTHING, "dropped": lambda: None, "timer": lambda: 1 << 32,
    "url": lambda: c.addressof(URL), "url_length": lambda: 17, "headers": lambda: c.addressof(HEADERS), "headers_length": lambda: 4, "address": lambda: c.addressof(FREE),
}


def arguments(name):
    """Return arguments with which the function would work, or nearly so."""
    values = {}
    for parameter, kind in functions[name][1].items():
        if parameter in GOOD:
            values[parameter] = GOOD[parameter]()
            # The same name for a number and for a place.
            if kind is c.c_void_p and parameter in ("id", "timer"):
                values[parameter] = BUFFER
        else:
            values[parameter] = 1 if kind is not c.c_void_p else TEXT if (name, parameter) in given_texts else BUFFER
    if name == "lariat_new":
        values["server"] = BUFFER
    if name.startswith("lariat_on_"):
        values["callback"] = c.cast(callbacks[name], c.c_void_p).value
    if name.startswith("lariat_listen") and "length" in values and "address" in values:
        values["length"] = 11
    return values


def call(name, /, **changes):
    values = arguments(name)
    check(set(changes) <= set(values), name, changes)
    return getattr(lib, name)(*{**values, **changes}.values())


def refuses(status, name, /, **changes):
    got = call(name, **changes)
    check(got == FAILURE.get(name, status), name, changes, "returned", got, "not", status)
    if name in FAILURE:
        check(lib.lariat_last_error() != b"", name, changes, "says nothing")


@c.CFUNCTYPE(None, c.c_void_p, c.c_void_p)
def nothing(server, user):
    pass


NOTHING = c.cast(nothing, c.c_void_p).value


# ---- the wrong ways -----------------------------------------------------------------------------

def null_for_each_pointer(names):
    for name in names:
        for parameter, kind in functions[name][1].items():
            may_be = (name, parameter) in MAY_BE_NULL or parameter == "user"
            if kind is c.c_void_p and not may_be:
                refuses(INVALID, name, **{parameter: None})
        # Texts of no length, whatever the pointer: no crash.
        lengths = {each: 0 for each in functions[name][1] if each.endswith("length")}
        texts = {each: None for each in functions[name][1] if (name, each) in given_texts}
        if lengths and name not in LAST and "request" not in functions[name][1]:
            got = call(name, **lengths, **texts)
            check(got <= 0 and got > -13, name, "without a text returned", got)


def stale_ids():
    for name, (_, parameters) in functions.items():
        for parameter in ("id", "timer"):
            if parameters.get(parameter) is c.c_uint64:
                live = [client] if parameter == "id" else range(1, 1000)
                for stale in {0, 1, 1 << 32, client ^ 1 << 20, client + (1 << 40), 2**64 - 1} - set(live):
                    refuses(GONE, name, **{parameter: stale})


def wrong_thread(parameter):
    """Call what takes a server or a request on another thread."""
    def call_all():
        for name in functions:
            # A server is being made where lariat_new is called.
            if next(iter(functions[name][1]), None) == parameter and name != "lariat_new" and name not in ANY_THREAD:
                refuses(WRONG_THREAD, name)

    thread = threading.Thread(target=call_all)
    thread.start()
    thread.join()


probed = set()


def probe(kind):
    """Inside a callback: call everything that takes a server, once for each kind of callback."""
    if kind in probed:
        return
    probed.add(kind)
    call("lariat_set_data")
    for name in [name for name in functions if name not in LAST] + (LAST[:2] if kind == "message" else []):
        if "server" not in functions[name][1] or name == "lariat_new":
            continue
        if name in BUSY_IN_CALLBACKS:
            refuses(BUSY, name)
            continue
        got, wanted = call(name), IN_CALLBACK.get(name, OK)
        if name == "lariat_data":
            check(got == BUFFER, "in", kind, name, got)  # lariat_set_data was called before
        elif kind in ("message", "pong", "drain"):
            check(got == wanted or type(wanted) is tuple and got in wanted, "in", kind, name, "returned", got)
        else:  # the client may not be open
            check(got <= 0 and got not in (BUSY, WRONG_THREAD, -13), "in", kind, name, "returned", got)


@c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_uint64, c.c_void_p)
def on_request(_, user, id, given):
    global client
    client, request.value = id, given
    probe("request")
    if "in requests" not in probed:
        probed.add("in requests")
        names = [name for name in functions if "request" in functions[name][1]]
        check(len(names) == 7, names)
        null_for_each_pointer(names)
        wrong_thread("request")
    return 101


def of_client(kind):
    def called(_, user, id, *rest):
        global client
        before, client = client, id
        probe(kind)
        if kind == "close":  # also of a connection that lariat_connect has begun
            client = before
    return called


on_open = c.CFUNCTYPE(None, c.c_void_p, c.c_void_p, c.c_uint64)(of_client("open"))
on_drain = c.CFUNCTYPE(None, c.c_void_p, c.c_void_p, c.c_uint64)(of_client("drain"))
on_message = c.CFUNCTYPE(None, c.c_void_p, c.c_void_p, c.c_uint64, c.c_int, c.c_void_p, c.c_size_t)(of_client("message"))
on_pong = c.CFUNCTYPE(None, c.c_void_p, c.c_void_p, c.c_uint64, c.c_void_p, c.c_size_t)(of_client("pong"))
on_close = c.CFUNCTYPE(None, c.c_void_p, c.c_void_p, c.c_uint64, c.c_uint16, c.c_int, c.c_void_p, c.c_size_t)(of_client("close"))


@c.CFUNCTYPE(None, c.c_void_p, c.c_void_p, c.c_uint64, c.c_uint64)
def on_timer(_, user, timer, token):
    probe("timer")


@c.CFUNCTYPE(None, c.c_void_p, c.c_void_p)
def on_post(_, user):
    probe("post")


logged = []


@c.CFUNCTYPE(None, c.c_void_p, c.c_int, c.c_void_p, c.c_size_t)
def on_log(user, level, data, length):
    logged.append(level)
    for name, (result, parameters) in functions.items():
        if name in ("lariat_last_error", "lariat_strerror", "lariat_version"):
            check(len(call(name)) > 0, name)
        else:
            refuses(BUSY, name)
            refuses(BUSY, name, **{each: None for each, kind in parameters.items() if kind is c.c_void_p})


callbacks = {f"lariat_on_{name}": globals()[f"on_{name}"] for name in
             ["request", "open", "message", "pong", "close", "drain", "timer"]}


# ---- a client and a loop ------------------------------------------------------------------------

def connect():
    stream = socket.socket()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stream.settimeout(20)
    where = c.create_string_buffer(64)
    check(lib.lariat_address(server, 0, c.addressof(where), 64) == OK)
    host, port = where.value.decode().rsplit(":", 1)
    stream.connect((host, int(port)))
    stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    return stream


def turn_until(is_done, stream=None):
    for _ in range(2000):
        if is_done():
            return
        status = lib.lariat_turn(server, 5)
        check(status == OK, "lariat_turn returned", status)
        if stream is not None:
            try:
                stream.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
    check(False, "it has not come", probed)


descriptors = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
check(lib.lariat_new(c.addressof(server)) == OK)
for name in callbacks:
    check(call(name) == OK, name)
check(lib.lariat_configure(server, 6, 4096) == OK)  # LARIAT_HIGH_WATER
null_for_each_pointer([name for name in functions if name.startswith(("lariat_listen", "lariat_configure", "lariat_address"))])
check(lib.lariat_listen(server, c.addressof(FREE), 11) == OK)
wrong_thread("server")

stream = connect()
turn_until(lambda: {"request", "open"} <= probed)
null_for_each_pointer([name for name in functions if "request" not in functions[name][1]])
stale_ids()
wrong_thread("server")
if descriptors is not None:
    opened = [int(each) for each in set(os.listdir("/proc/self/fd")) - descriptors if os.path.exists(f"/proc/self/fd/{each}")]
    check(len(opened) > 3, "descriptors", opened)
    for descriptor in opened:
        check(fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC, "descriptor", descriptor, "stays open in exec")

stream.sendall(b"\x8a\x81mask\x00")
turn_until(lambda: "pong" in probed)
long = c.create_string_buffer(3 << 20)
check(lib.lariat_send(server, client, 2, c.addressof(long), 3 << 20) == OK)
turn_until(lambda: "drain" in probed, stream)
check(lib.lariat_set_timer(server, 1, 0, 0, None) == OK)
check(lib.lariat_post(server, c.cast(on_post, c.c_void_p), None, None) == OK)
turn_until(lambda: {"timer", "post"} <= probed, stream)
stream.sendall(b"\x81\x81mask\x0c")
turn_until(lambda: {"message", "close"} <= probed, stream)
check(probed == {"request", "in requests", "open", "pong", "drain", "timer", "post", "message", "close"}, probed)

check(lib.lariat_set_log(5, c.cast(on_log, c.c_void_p), None) == OK)
stream = connect()
turn_until(lambda: len(logged) > 3)
check(lib.lariat_set_log(0, None, None) == OK)

# Any thread can post and stop.
statuses = []
thread = threading.Thread(target=lambda: statuses.extend([call("lariat_post"), call("lariat_stop")]))
thread.start()
thread.join()
check(statuses == [OK, OK], statuses)
check(lib.lariat_run(server) == OK)
check(lib.lariat_turn(server, 0) == STOPPED)
check(lib.lariat_free(server) == OK)

# Without descriptors, a server cannot listen or start, and does so once there are some.
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
check(lib.lariat_new(c.addressof(server)) == OK)
for spare in range(3):
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, limits[1]))
    status = lib.lariat_listen(server, c.addressof(FREE), 11)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    check(status == IO, "without descriptors, lariat_listen returned", status)
check(lib.lariat_listen(server, c.addressof(FREE), 11) == OK)
check(lib.lariat_turn(server, 0) == OK)
check(lib.lariat_free(server) == OK)
print(f"ok: {len(functions)} functions, {len(logged)} lines of log")
