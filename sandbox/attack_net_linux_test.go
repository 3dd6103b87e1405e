//go:build linux && amd64

package sandbox_test

import (
	"errors"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// networkAttempts go for the network of the machine, in every way a socket can be had.
func networkAttempts() []attempt {
	const c = "network"
	tcp := func(addr func(b bait) string) func(b bait) error {
		return func(b bait) error { return dial("tcp", addr(b)) }
	}
	port := func(b bait) string {
		_, port, _ := net.SplitHostPort(b.TCP)
		return port
	}
	socket := func(domain, typ, proto int) func(bait) error {
		return func(bait) error {
			fd, err := unix.Socket(domain, typ, proto)
			if err == nil {
				_ = unix.Close(fd)
			}
			return err
		}
	}
	list := []attempt{
		{c, "connect to the machine", tcp(func(b bait) string { return b.TCP }), false},
		{c, "connect to the machine by IPv6", tcp(func(b bait) string { return b.TCP6 }), false},
		{c, "connect to the machine by any address", tcp(func(b bait) string { return "0.0.0.0:" + port(b) }), false},
		{c, "connect to the machine by another loopback address", tcp(func(b bait) string { return "127.9.9.9:" + port(b) }), false},
		{c, "connect to the machine by a mapped address", tcp(func(b bait) string { return "[::ffff:127.0.0.1]:" + port(b) }), false},
		{c, "connect to the machine by MPTCP", func(b bait) error { return connectBy(unix.IPPROTO_MPTCP, b) }, false},
		{c, "connect to the machine with the first packet", func(b bait) error { return fastOpen(b) }, false},
		{c, "send a packet to the machine", func(b bait) error {
			conn, err := net.DialTimeout("udp", b.UDP, time.Second)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(500 * time.Millisecond))
			if _, err := conn.Write([]byte("x")); err != nil {
				return err
			}
			_, err = conn.Read(make([]byte, 16))
			return err
		}, false},
		{c, "connect to an abstract socket", func(b bait) error { return dial("unix", b.Abstract) }, false},
		{c, "connect to a socket outside", func(b bait) error { return dial("unix", b.Socket) }, false},
		{c, "connect to a socket through a planted link", func(b bait) error { return dial("unix", b.Workspace+"/planteddir/socket") }, false},
		{c, "have a way to the metadata of a cloud", func(bait) error { return routed("169.254.169.254") }, false},
		{c, "have a way to a private network", func(bait) error { return routed("10.0.0.1") }, false},
		{c, "have a way to the world", func(bait) error { return routed("192.0.2.1") }, false},
		{c, "see the devices of the machine", func(bait) error {
			ifs, err := os.ReadDir("/sys/class/net")
			if err == nil && len(ifs) < 2 {
				return errNothing
			}
			return err
		}, false},
		{c, "see the connections of the machine", func(b bait) error {
			n, _ := strconv.Atoi(port(b))
			hex := strconv.FormatInt(int64(n)|0x10000, 16)[1:]
			return holdsFold("/proc/net/tcp", ":"+hex)
		}, false},
		{c, "see the abstract sockets of the machine", func(b bait) error { return holds("/proc/net/unix", b.Abstract) }, false},
		{c, "answer on a low port", func(bait) error {
			l, err := net.Listen("tcp", "127.0.0.1:81")
			if err == nil {
				_ = l.Close()
			}
			return err
		}, false},
		{c, "change a device", func(bait) error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			var ifr [40]byte
			copy(ifr[:], "lo")
			if err := sys(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFFLAGS, ptr(&ifr)); err != nil {
				return err
			}
			return sys(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, ptr(&ifr))
		}, false},
		{c, "forge the mark of a packet", func(bait) error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 1)
		}, false},
		{c, "swallow more than a buffer holds", func(bait) error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<26)
		}, false},
		{c, "get a vsock socket", socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0), false},
		{c, "get a vsock socket for packets", socket(unix.AF_VSOCK, unix.SOCK_DGRAM, 0), false},
		{c, "get a netlink socket for routes", socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE), false},
		{c, "get a netlink socket for filters", socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER), false},
		{c, "get a netlink socket for devices", socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT), false},
		{c, "get a netlink socket for sockets", socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG), false},
		{c, "get a netlink socket for anything", socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC), false},
		{c, "get a socket for frames", socket(unix.AF_PACKET, unix.SOCK_RAW, 0x0300), false},
		{c, "get a socket for frames in the old way", socket(unix.AF_INET, unix.SOCK_PACKET, 0x0300), false},
		{c, "get a raw socket", socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP), false},
		{c, "get a raw IPv6 socket", socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6), false},
		{c, "get a socket to the ciphers of the kernel", socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0), false},
		{c, "get an MPTCP socket", socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP), false},
		{c, "get an MPTCP socket by IPv6", socket(unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_MPTCP), false},
	}
	for _, f := range []struct {
		name   string
		domain int
	}{
		{"XDP", unix.AF_XDP},
		{"key management", unix.AF_KEY},
		{"bluetooth", unix.AF_BLUETOOTH},
		{"CAN", unix.AF_CAN},
		{"TIPC", unix.AF_TIPC},
		{"RDS", unix.AF_RDS},
		{"PPP", unix.AF_PPPOX},
		{"X.25", unix.AF_X25},
		{"NFC", unix.AF_NFC},
		{"SMC", unix.AF_SMC},
		{"QIPCRTR", unix.AF_QIPCRTR},
		{"KCM", unix.AF_KCM},
	} {
		list = append(list, attempt{c, "get a socket for " + f.name, func(bait) error {
			var err error
			for _, typ := range []int{unix.SOCK_RAW, unix.SOCK_DGRAM, unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
				if _, err = unix.Socket(f.domain, typ, 0); err == nil {
					return nil
				}
			}
			return err
		}, false})
	}
	return list
}

func dial(network, addr string) error {
	if addr == "" {
		return errNothing
	}
	conn, err := net.DialTimeout(network, addr, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// sockaddr is the address of the listener on the machine.
func sockaddr(b bait) *unix.SockaddrInet4 {
	a, err := net.ResolveTCPAddr("tcp", b.TCP)
	if err != nil {
		return &unix.SockaddrInet4{}
	}
	return &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte{127, 0, 0, 1}}
}

func connectBy(proto int, b bait) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, proto)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Connect(fd, sockaddr(b))
}

// fastOpen connects with sendto, which no filter of connect sees.
func fastOpen(b bait) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	err = unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, sockaddr(b))
	if errors.Is(err, unix.EINPROGRESS) {
		return nil
	}
	return err
}

// routed asks whether a packet to an address would be sent; none is.
func routed(ip string) error {
	conn, err := net.DialTimeout("udp", net.JoinHostPort(ip, "80"), time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return err
}
