//go:build unix

package pgtest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// other is who runs the server in the place of root, nil when we are not root.
func other() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nobody else
	}
	for _, name := range []string{"postgres", "nobody"} {
		who, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, bad := strconv.ParseUint(who.Uid, 10, 32)
		gid, worse := strconv.ParseUint(who.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(bad, worse)
	}
	return nil, errors.New("root cannot run Postgres, and there is neither a user postgres nor nobody")
}

// own gives dir to whoever runs the server.
func own(dir string) error {
	who, err := other()
	if err != nil || who == nil {
		return err
	}
	return os.Chown(dir, int(who.Uid), int(who.Gid))
}

// as makes cmd run as whoever runs the server.
func as(cmd *exec.Cmd) {
	if who, err := other(); err == nil && who != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	}
}
