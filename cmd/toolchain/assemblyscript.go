package toolchain

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// compilerPath is where npm puts the compiler of a project.
var compilerPath = filepath.Join("node_modules", "assemblyscript", "bin", "asc.js") //nolint:gochecknoglobals // constant

// assemblyScript builds what asconfig.json says, with the compiler in the
// node_modules of the project or above it; the first time npm fetches what the
// lock file names.
func (b builder) assemblyScript(ctx context.Context) error {
	const install = "install Node 20 or newer, with npm, from https://nodejs.org"
	if _, err := exec.LookPath("node"); err != nil {
		return &MissingError{AssemblyScript, "node", install}
	}
	compiler, err := b.findCompiler()
	if err != nil {
		return err
	}
	if compiler == "" {
		if _, err := exec.LookPath("npm"); err != nil {
			return &MissingError{AssemblyScript, "npm", install}
		}
		if err := b.run(ctx, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"); err != nil {
			return &MissingError{AssemblyScript, "the npm package assemblyscript", "run 'npm ci' in " + b.dir + " where npm reaches its registry (" + err.Error() + ")"}
		}
		if compiler, err = filepath.Abs(filepath.Join(b.dir, compilerPath)); err != nil {
			return err
		}
	}
	return b.run(ctx, nil, "node", compiler, "--config", "asconfig.json", "--outFile", b.out)
}

// findCompiler looks where node would, empty when it is nowhere.
func (b builder) findCompiler() (string, error) {
	dir, err := filepath.Abs(b.dir)
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, compilerPath)
		switch _, err := os.Stat(path); {
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", nil
		}
		dir = up
	}
}
