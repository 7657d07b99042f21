package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/handover"
)

// bound is an open socket with the listener that uses it.
type bound struct {
	listener string
	address  config.Address
	socket   socket
}

// Sockets are open sockets.
type Sockets []bound

// Share returns the sockets for another process, which can accept on them beside this one, but not those of systemd. The caller
// closes their files.
func (all Sockets) Share(set *config.Set) (list []handover.Socket, err error) {
	for _, b := range all {
		s := handover.Socket{Listener: b.listener}
		if s.Network, s.Address, err = split(set, b.address); s.Network == "systemd" {
			continue
		} else if err == nil {
			s.File, err = fileOf(b.socket)
		}
		if err != nil {
			return list, fmt.Errorf("listener %s: %w", b.listener, err)
		}
		list = append(list, s)
	}
	return list, nil
}

func fileOf(s socket) (*os.File, error) {
	f, ok := s.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return handover.FileOf(f)
}

// Own has the files of unix sockets removed when these are closed, or not if another process goes on to accept.
func (all Sockets) Own(own bool) {
	for _, b := range all {
		if u, ok := b.socket.(*net.UnixListener); ok {
			network, _, _ := b.address.Listen()
			u.SetUnlinkOnClose(own && network == "unix")
		}
	}
}
