"""Sensitive places of the machine, and what runs code outside of the sandbox later: a table too."""

from learner.sensitive_entries import later, secrets

_OWN_PROCESS = ("/proc/self/**", "/proc/thread-self/**")
"""A program may know its own environment and memory."""
_PACKAGES = ("**/node_modules/**", "**/site-packages/**")
"""No editor or tool takes its settings from within an installed package, although authors leave theirs in it."""
_YARN_STATE = ("~/.yarn/**", "**/.yarn/cache/**", "**/.yarn/unplugged/**", "**/.yarn/install-state.gz")
"""What ``yarn install`` writes each time; the rest of the directory are programs that yarn runs."""

# A table: one name a line would be a thousand lines.
# fmt: off
_SYSTEM = (
    *secrets(
        "password hashes",
        "/etc/shadow*", "/etc/gshadow*", "/etc/master.passwd", "/etc/security/**", "/var/db/dslocal/**",
        "/var/backups/**", "/var/backup/**", "/var/lib/sss/db/**", "/var/lib/sss/secrets/**",
    ),
    *secrets(
        "who may become root",
        "/etc/sudoers", "/etc/sudoers.d/**", "/run/sudo/**", "/var/db/sudo/**", "/var/lib/sudo/**",
    ),
    *secrets(
        "host keys",
        "/etc/ssh/ssh_host_*_key", "/etc/ssl/private/**", "/etc/pki/tls/private/**", "/etc/letsencrypt/**",
    ),
    *secrets(
        "network passwords",
        "/etc/NetworkManager/system-connections/**", "/etc/wpa_supplicant/**", "/etc/wireguard/**", "/etc/openvpn/**",
        "/etc/ipsec.secrets", "/etc/ppp/*-secrets", "/var/lib/tailscale/**", "/var/lib/iwd/**", "/etc/apt/auth.conf",
        "/etc/apt/auth.conf.d/**", "/etc/netplan/**",
    ),
    *secrets(
        "the kernel and its boot loader",
        "/boot/**", "/efi/**", "/proc/kcore", "/proc/kmem", "/dev/mem", "/dev/kmem", "/dev/port",
        "/sys/kernel/debug/**", "/sys/kernel/tracing/**",
    ),
    *secrets(
        "a raw disk",
        "/dev/sd*", "/dev/nvme*", "/dev/vd*", "/dev/xvd*", "/dev/hd*", "/dev/mmcblk*", "/dev/md*", "/dev/dm-*",
        "/dev/mapper/**", "/dev/loop*", "/dev/zd*", "/dev/sg*", "/dev/disk*", "/dev/rdisk*",
    ),
    *secrets(
        "the screen and keyboard",
        "/dev/input/**", "/dev/uinput", "/dev/hidraw*", "/dev/vcs*", "/dev/fb*", "/dev/uhid",
    ),
    *secrets(
        "camera and microphone",
        "/dev/video*", "/dev/snd/**", "/run/user/*/pulse/**", "/run/user/*/pipewire-*", "/run/pulse/**",
        "/tmp/pulse-*/**",
    ),
    *secrets("security chip", "/dev/tpm*"),
    *secrets("runs on a schedule", "/var/spool/cron/**", "/var/at/**", "/var/spool/at/**", "/var/spool/anacron/**"),
    *secrets("another program's environment", "/proc/*/environ", "/proc/*/task/*/environ", but=_OWN_PROCESS),
    *secrets("another program's memory", "/proc/*/mem", "/proc/*/task/*/mem", but=_OWN_PROCESS),
)
_SOCKETS = (
    *secrets(
        "root on this machine",
        "/run/docker.sock", "/run/containerd/**", "/run/k3s/**", "/run/crio/**", "/run/buildkit/**", "/run/lxd.socket",
        "/var/lib/lxd/unix.socket", "/var/snap/lxd/common/lxd/unix.socket", "/var/lib/incus/unix.socket",
        "/run/libvirt/**", "/run/systemd/private", "/run/snapd.socket", "/var/lib/docker/**", "/var/lib/containerd/**",
        "/var/lib/containers/**", "/run/podman/**",
    ),
    *secrets(
        "containers outside of the sandbox",
        "/run/user/*/docker.sock", "/run/user/*/podman/**", "/run/user/*/containerd*/**", "/run/user/*/libpod/**",
        "/run/user/*/crun/**", "/run/user/*/runc/**", "~/.colima/*/docker.sock", "~/.lima/*/sock/**",
        "~/.orbstack/run/**", "~/.rd/docker.sock", "~/.local/share/containers/podman/machine/**",
        "/run/user/*/libvirt/**", "/run/user/*/.flatpak*/**", "/run/user/*/toolbox/**",
    ),
    *secrets(
        "the desktop session's D-Bus",
        "/run/user/*/bus", "/run/user/*/at-spi/**", "/run/user/*/.dbus-proxy/**", "/tmp/dbus-*",
    ),
    *secrets("the system D-Bus", "/run/dbus/system_bus_socket"),
    *secrets(
        "the desktop session's service manager",
        "/run/user/*/systemd/**", "/run/user/*/snapd-session-agent.socket",
    ),
    *secrets("GnuPG agent", "/run/user/*/gnupg/**", "/tmp/gpg-*/**"),
    *secrets(
        "SSH agent",
        "/tmp/ssh-*/**", "/run/user/*/ssh-agent*", "/run/user/*/openssh_agent", "/run/user/*/gcr/**",
        "/tmp/com.apple.launchd.*/Listeners", "/run/user/*/yubikey-agent/**", "~/.bitwarden-ssh-agent.sock",
    ),
    *secrets(
        "the screen and keyboard",
        "/tmp/.X11-unix/**", "/tmp/.ICE-unix/**", "/run/user/*/wayland-*", "/run/user/*/mir_socket", "/run/mir_socket",
        "~/.Xauthority", "~/.ICEauthority", "/run/user/*/xauth_*", "/run/user/*/.mutter-Xwaylandauth.*",
        "/run/user/*/gdm/**", "/run/user/*/ICEauthority", "/run/user/*/sway-ipc.*", "/run/user/*/i3/**",
        "/run/user/*/hypr/**", "/run/user/*/gnome-shell/**",
    ),
    *secrets(
        "another terminal",
        "/tmp/tmux-*/**", "/run/tmux/**", "/run/screen/**", "/run/user/*/screen/**", "~/.screen/**",
        "/run/user/*/kitty*", "/tmp/kitty-*", "/tmp/.lxterminal-socket*", "/run/user/*/wezterm/**",
    ),
    *secrets(
        "an editor outside of the sandbox",
        "/run/user/*/vscode-*", "/tmp/vscode-ipc-*", "/run/user/*/emacs/**", "/run/user/*/nvim.*",
    ),
)
_LATER = (
    *later(
        "git runs what it names",
        "**/.gitconfig", "~/.config/git/**", "/etc/gitconfig", "**/.git/config", "**/.git/config.worktree",
        "**/.git/worktrees/*/config.worktree", "**/.gitmodules", "**/.git/modules/*/config",
        "**/.git/modules/*/*/config",
    ),
    *later(
        "git runs it outside of the sandbox later",
        "**/.git/hooks/**", "**/.githooks/**", "**/.husky/**", "**/.git/modules/*/hooks/**",
        "**/.git/modules/*/*/hooks/**",
    ),
    *later(
        "git runs it outside of the sandbox later",
        "**/.pre-commit-config.yaml", "**/lefthook.yml", "**/lefthook.yaml", "**/.lefthook.yml", "**/.lefthook.yaml",
        but=_PACKAGES,
    ),
    *later(
        "the editor runs what it names",
        "**/.vscode/**", "**/.idea/**", "**/.fleet/**", "**/.zed/**", "**/*.code-workspace", "**/.devcontainer/**",
        "**/.devcontainer.json", "**/pyrightconfig.json", "**/.exrc", "**/.nvim.lua", "**/.dir-locals.el",
        but=_PACKAGES,
    ),
    *later(
        "the editor runs what it names",
        "~/.vimrc", "~/.gvimrc", "~/.vim/**", "~/.config/nvim/**", "~/.emacs", "~/.emacs.d/**", "~/.config/emacs/**",
        "~/.config/Code/User/*.json", "~/.config/helix/**", "~/.nanorc",
        "~/Library/Application Support/Code/User/*.json", "~/.config/zed/**",
    ),
    *later("the shell runs it on entering the directory", "**/.envrc", "**/mise.toml", "**/.mise.toml", but=_PACKAGES),
    *later("a coding agent runs what it names", "**/.mcp.json", but=_PACKAGES),
    *later("a coding agent runs what it names", "**/.claude.json", but=(*_PACKAGES, "~/.claude.json")),
    *later("a coding agent runs what it names", "**/.claude/**", but=("~/.claude/**", "**/.claude/worktrees/**")),
    *later(
        "a coding agent runs what it names",
        "~/.claude/settings*.json", "~/.claude/hooks/**", "~/.claude/commands/**", "~/.claude/agents/**",
        "~/.claude/skills/**", "~/.codex/hooks.json", "~/.codex/rules/**",
    ),
    *later("a coding agent runs what it names", "**/.codex/**", but=("~/.codex/**",)),
    *later("a coding agent runs what it names", "**/.agents/**", "**/.cursor/**", but=("~/.cursor/**", *_PACKAGES)),
    *later(
        "the build tool runs what it names",
        "**/.npmrc", "**/.yarnrc", "**/.yarnrc.yml", "**/.pnp.cjs", "**/.pnp.loader.mjs", "**/.pnpmfile.cjs",
        "**/bunfig.toml", "**/.bunfig.toml", "**/.ripgreprc", "**/.bazelrc", "**/.bazelversion", "**/.bazeliskrc",
        "**/.mvn/**", "**/gradle-wrapper.properties", "**/maven-wrapper.properties",
        but=_PACKAGES,
    ),
    *later("the build tool runs what it names", "**/.yarn/**", but=(*_PACKAGES, *_YARN_STATE)),
    *later("the build tool runs what it names", "**/.cargo/**", but=("~/.cargo/**", *_PACKAGES)),
    *later(
        "the build tool runs what it names",
        "~/.cargo/config*", "~/.gradle/init.gradle*", "~/.gradle/init.d/**", "~/.m2/*.xml",
    ),
    *later(
        "the debugger or interpreter runs it",
        "~/.gdbinit", "~/.lldbinit", "~/.pdbrc", "~/.irbrc", "~/.Rprofile", "~/.pythonrc.py",
        "~/.ipython/profile_default/startup/**", "~/.config/gdb/**", "~/.sqliterc", "~/.psqlrc",
    ),
    *later(
        "the terminal runs what it names",
        "~/.tmux.conf", "~/.config/tmux/**", "~/.screenrc", "~/.wezterm.lua", "~/.config/kitty/**",
        "~/.config/alacritty/**", "~/.config/ghostty/**",
    ),
    *later("a command that you run", "~/.local/bin/**", "~/bin/**", "~/.bin/**", "~/.cargo/bin/**"),
    *later(
        "runs at login",
        "~/.config/autostart/**", "~/.config/autostart-scripts/**", "~/.config/systemd/**", "~/.local/share/systemd/**",
        "~/.local/share/autostart/**", "~/.config/environment.d/**", "~/.config/plasma-workspace/**",
        "~/.kde/Autostart/**", "~/.kde4/Autostart/**", "~/.config/upstart/**", "~/.xinitrc", "~/.xprofile",
        "~/.xsession", "~/.xsessionrc", "~/.Xsession", "~/.xserverrc", "~/.gnomerc", "~/.config/i3/**",
        "~/.config/sway/**", "~/.config/hypr/**", "~/.config/openbox/**", "~/.config/awesome/**",
        "~/.config/lxsession/**", "~/.fluxbox/**", "~/.xmonad/**", "~/.local/share/gnome-shell/extensions/**",
        "~/Library/LaunchAgents/**", "/Library/LaunchAgents/**", "/Library/LaunchDaemons/**",
        "/System/Library/LaunchAgents/**", "/System/Library/LaunchDaemons/**", "/Library/StartupItems/**",
        "/etc/xdg/autostart/**", "/etc/X11/**", "/etc/profile", "/etc/profile.d/**", "/etc/environment",
        "/etc/bash.bashrc", "/etc/bashrc", "/etc/zsh/**", "/etc/zshenv", "/etc/zshrc", "/etc/zprofile",
    ),
    *later(
        "the desktop runs it",
        "~/.local/share/applications/**", "~/.config/mimeapps.list", "~/.local/share/dbus-1/**", "~/.mailcap",
        "~/.forward", "~/.local/share/kio/**", "~/.local/share/nautilus/scripts/**", "~/Library/Application Scripts/**",
        "~/Library/Services/**", "~/Library/QuickLook/**",
    ),
    *later(
        "lets others in",
        "~/.rhosts", "~/.shosts", "/etc/hosts.equiv", "/etc/ssh/**", "/etc/pam.d/**", "/etc/polkit-1/**",
    ),
    *later(
        "runs as root",
        "/etc/crontab", "/etc/cron*/**", "/etc/anacrontab", "/etc/periodic/**", "/etc/systemd/**", "/etc/init.d/**",
        "/etc/rc.local", "/etc/rc*.d/**", "/etc/runlevels/**", "/etc/udev/**", "/etc/modprobe.d/**", "/etc/modules*/**",
        "/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/ld.so.conf.d/**", "/etc/docker/**", "/etc/dkms/**",
        "/run/systemd/system/**", "/Library/PrivilegedHelperTools/**", "/etc/NetworkManager/dispatcher.d/**",
        "/proc/sys/**", "/proc/sysrq-trigger", "/sys/firmware/efi/efivars/**", "/etc/grub*/**", "/etc/default/**",
    ),
    *later("who the accounts are", "/etc/passwd*", "/etc/group*", "/etc/doas.conf", "/etc/nsswitch.conf"),
)
# fmt: on

SYSTEM = (
    *_SYSTEM,
    *_SOCKETS,
    *_LATER,
)
