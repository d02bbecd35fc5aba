/* Cancellation points: sockets. */
#include <sys/socket.h>

#include "cancel/point.h"

POINT(int, accept, (int fd, __SOCKADDR_ARG address, socklen_t *bytes), (fd, address, bytes), SYS_accept, fd,
      W(address.__sockaddr__), W(bytes))
POINT(int, accept4, (int fd, __SOCKADDR_ARG address, socklen_t *bytes, int flags), (fd, address, bytes, flags),
      SYS_accept4, fd, W(address.__sockaddr__), W(bytes), flags)
POINT(int, connect, (int fd, __CONST_SOCKADDR_ARG address, socklen_t bytes), (fd, address, bytes), SYS_connect, fd,
      W(address.__sockaddr__), bytes)

POINT(ssize_t, recv, (int fd, void *buffer, size_t bytes, int flags), (fd, buffer, bytes, flags), SYS_recvfrom, fd,
      W(buffer), W(bytes), flags)
POINT(ssize_t, recvfrom,
      (int fd, void *buffer, size_t bytes, int flags, __SOCKADDR_ARG address, socklen_t *address_bytes),
      (fd, buffer, bytes, flags, address, address_bytes), SYS_recvfrom, fd, W(buffer), W(bytes), flags,
      W(address.__sockaddr__), W(address_bytes))
POINT(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags), SYS_recvmsg, fd, W(message),
      flags)
POINT(ssize_t, send, (int fd, const void *buffer, size_t bytes, int flags), (fd, buffer, bytes, flags), SYS_sendto, fd,
      W(buffer), W(bytes), flags)
POINT(ssize_t, sendto,
      (int fd, const void *buffer, size_t bytes, int flags, __CONST_SOCKADDR_ARG address, socklen_t address_bytes),
      (fd, buffer, bytes, flags, address, address_bytes), SYS_sendto, fd, W(buffer), W(bytes), flags,
      W(address.__sockaddr__), address_bytes)
POINT(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags), SYS_sendmsg, fd,
      W(message), flags)
POINT(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *limit),
      (fd, messages, count, flags, limit), SYS_recvmmsg, fd, W(messages), count, flags, W(limit))
POINT(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags), (fd, messages, count, flags),
      SYS_sendmmsg, fd, W(messages), count, flags)
