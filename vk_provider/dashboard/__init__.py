"""The live page: what the snapshot shows, for the eye, in a browser on this machine.

server: who may have what (loopback only, GET only, a Host that is this machine, a strict CSP). stream: what is sent, to
all who look at once. history: the last hour, in few numbers. static/: the page, without anybody else's code.
"""
