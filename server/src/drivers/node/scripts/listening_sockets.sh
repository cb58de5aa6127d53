section sockets ss -H -lntu
