"""A server that sends back what it gets: python3 echo.py LIBRARY [ADDRESS]. Ctrl-C ends it."""
import ctypes as c
import signal
import sys

lib, server, where = c.CDLL(sys.argv[1]), c.c_void_p(), c.create_string_buffer(64)
address = (sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:9998").encode()
# A callback gets pointers as numbers. A function without argtypes would take half of their bits.
lib.lariat_send.argtypes = [c.c_void_p, c.c_uint64, c.c_int, c.c_char_p, c.c_size_t]
lib.lariat_last_error.restype = c.c_char_p


@c.CFUNCTYPE(None, c.c_void_p, c.c_void_p, c.c_uint64, c.c_int, c.POINTER(c.c_char), c.c_size_t)
def on_message(server, user, client, kind, data, length):
    lib.lariat_send(server, client, kind, data[:length], length)


if lib.lariat_new(c.byref(server)) or lib.lariat_on_message(server, on_message, None) \
        or lib.lariat_listen(server, address, c.c_size_t(len(address))):
    sys.exit(lib.lariat_last_error().decode())
# KeyboardInterrupt is lost if it is raised inside a callback.
signal.signal(signal.SIGINT, lambda *_: lib.lariat_stop(server, 2000))
lib.lariat_address(server, c.c_size_t(0), where, c.c_size_t(len(where)))
print("listening on", where.value.decode(), flush=True)
while lib.lariat_turn(server, 1000) == 0:
    pass
lib.lariat_free(server)
