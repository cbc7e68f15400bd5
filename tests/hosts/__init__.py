"""`make hosts`: several hosts, really. Each is a network namespace of its own with a kernel's own TCP; what lies between them
is cut, slowed and made lossy while clients order, and what comes of it is measured.
"""
