package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/nubishark/nubishark/lua"
)

func newLua() *cobra.Command {
	var (
		o       lua.Options
		output  string
		order   string
		install bool
	)
	cmd := &cobra.Command{
		Use:   "lua",
		Short: "Write the Wireshark plugin",
		Long: `Write a Lua file that makes Wireshark and tshark (3.4 and newer) understand the protocol.
--install puts it into your Personal Lua Plugins folder; restart Wireshark, or press Ctrl+Shift+L there.`,
		Example: "  nubishark lua --install\n  nubishark lua -o nubison.lua --port 9100",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := parsePorts(o.Ports); err != nil {
				return err
			}
			switch order {
			case "big", "little":
				o.LittleEndian = order == "little"
			default:
				return badValue("byte-order", order, "big or little")
			}
			var b bytes.Buffer
			if err := lua.Generate(&b, o); err != nil {
				return failed(statusUsage, "%w", err)
			}
			if install {
				return installPlugin(cmd, o.Name, b.Bytes())
			}
			out, err := openOutput(output, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			defer out.abort()
			if _, err := out.Write(b.Bytes()); err != nil {
				return failed(statusInput, "write: %w", err)
			}
			return out.commit()
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "the file to write (default: standard output)")
	f.BoolVar(&install, "install", false, "put it into the Personal Lua Plugins folder")
	f.StringVar(&o.Ports, "port", "", "TCP ports that are always dissected: N,N-M (default: any, found by content)")
	f.StringVar(&order, "byte-order", "big", "of two-byte lengths: big|little")
	f.StringVar(&o.Name, "name", lua.DefaultName, "filter name of the protocol")
	complete(cmd, "byte-order", []string{"big", "little"})
	return cmd
}

// installPlugin writes the plugin where Wireshark looks for it, and replaces nothing but an older one.
func installPlugin(cmd *cobra.Command, name string, plugin []byte) error {
	dir, err := pluginFolder()
	if err != nil {
		return failed(statusInput, "%w", err)
	}
	path := filepath.Join(dir, name+".lua")
	switch old, err := os.ReadFile(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return failed(statusInput, "%w", err)
	case !bytes.Contains(old[:min(len(old), 400)], []byte(lua.Mark)):
		return failed(statusInput, "%s is not a plugin of ours: move it away, or use --name", path)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return failed(statusInput, "%w", err)
	}
	out, err := openOutput(path, nil)
	if err != nil {
		return err
	}
	defer out.abort()
	if _, err := out.Write(plugin); err != nil {
		return failed(statusInput, "write %s: %w", path, err)
	}
	if err := out.commit(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\nRestart Wireshark, or press Ctrl+Shift+L in it. To remove the plugin, delete the file.\n", path)
	return err
}

// pluginFolder is Wireshark's Personal Lua Plugins folder (Help > About > Folders).
func pluginFolder() (string, error) {
	if runtime.GOOS == "windows" {
		if d := os.Getenv("APPDATA"); d != "" {
			return filepath.Join(d, "Wireshark", "plugins"), nil
		}
		return "", errors.New("APPDATA is not set: write the plugin with -o into the folder that Wireshark shows under Help > About > Folders")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "lib", "wireshark", "plugins"), nil
}
