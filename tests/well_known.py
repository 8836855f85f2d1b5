"""Well-known places, one list for each thing that the catalogue may say. ``\\ `` is a space in a name."""

LINUX = """
~/.ssh ~/.ssh/id_rsa ~/.ssh/config ~/.ssh/authorized_keys ~/.gnupg/private-keys-v1.d/x.key ~/.gnupg/S.gpg-agent
~/.aws/credentials ~/.aws/sso/cache/a.json ~/.aws/amazonq/mcp.json ~/.azure/msal_token_cache.json
~/.config/gcloud/credentials.db ~/.config/doctl/config.yaml ~/.oci/oci_api_key.pem ~/.config/hcloud/cli.toml
~/.fly/config.yml ~/.local/share/com.vercel.cli/auth.json ~/.config/netlify/config.json
~/.config/.wrangler/config/default.toml ~/.terraform.d/credentials.tfrc.json ~/.pulumi/credentials.json ~/.vault-token
~/.kube/config ~/.docker/config.json ~/.docker/run/docker.sock ~/.config/containers/auth.json
~/.config/helm/registry/config.json ~/.npmrc ~/.yarnrc.yml ~/.pypirc ~/.config/pip/pip.conf ~/.cargo/credentials.toml
~/.gem/credentials ~/.config/composer/auth.json ~/.m2/settings.xml ~/.gradle/gradle.properties
~/.nuget/NuGet/NuGet.Config ~/.netrc ~/.git-credentials ~/.config/git/credentials ~/.config/gh/hosts.yml
~/.config/github-copilot/apps.json ~/.config/glab-cli/config.yml ~/.pgpass ~/.my.cnf ~/.cache/huggingface/token
~/.claude/.credentials.json ~/.codex/auth.json ~/.gemini/oauth_creds.json ~/.vibe/.env
~/.local/share/opencode/auth.json ~/.pi/agent/auth.json ~/.config/goose/secrets.yaml ~/.local/share/amp/secrets.json
~/.factory/auth.encrypted ~/.qwen/oauth_creds.json ~/.config/cursor/auth.json ~/.password-store/mail.gpg
~/.config/Bitwarden/data.json ~/.1password/agent.sock ~/keys/all.kdbx ~/.local/share/keyrings/login.keyring
~/.local/share/kwalletd/kdewallet.kwl ~/.mozilla/firefox/a.default/logins.json ~/.config/google-chrome/Default/Cookies
~/.config/google-chrome-beta/Default/Cookies ~/.config/chromium/Default/Login\\ Data
~/snap/firefox/common/.mozilla/firefox/profiles.ini ~/.var/app/org.mozilla.firefox/.mozilla/x
~/.thunderbird/profiles.ini ~/.config/Signal/config.json ~/.bash_history ~/.zsh_history ~/.python_history
~/.node_repl_history ~/.local/share/fish/fish_history ~/.bashrc ~/.zshenv ~/.config/fish/config.fish
~/.bitcoin/wallet.dat ~/.electrum/wallets/default ~/.config/solana/id.json ~/.Xauthority /var/mail/ada /etc/shadow
/etc/shadow- /etc/gshadow /etc/sudoers /etc/sudoers.d/ada /etc/ssh/ssh_host_ed25519_key /etc/ssl/private/server.key
/etc/wireguard/wg0.conf /var/spool/cron/crontabs/ada /proc/1/environ /proc/1/mem /proc/kcore /dev/mem /dev/sda
/dev/sda1 /dev/nvme0n1p2 /dev/dm-0 /dev/input/event3 /run/docker.sock /var/run/docker.sock
/run/containerd/containerd.sock /run/podman/podman.sock /run/user/1000/podman/podman.sock /run/user/1000/bus
/run/dbus/system_bus_socket /run/user/1000/gnupg/S.gpg-agent.ssh /run/user/1000/keyring/ssh /run/user/1000/wayland-0
/run/user/1000/pipewire-0 /run/user/1000/pulse/native /run/mir_socket /tmp/.X11-unix/X0 /tmp/ssh-Ab12/agent.77
/tmp/tmux-1000/default /home/bob/.ssh/id_rsa /home/bob/.npmrc /root/.aws/credentials /root/.bash_history
/var/home/bob/.netrc /srv/app/.env /srv/app/.env.local /srv/keys/id_ed25519
"""
"""Sensitive however they are used."""

MACOS = """
~/Library/Keychains ~/Library/Keychains/login.keychain-db /Library/Keychains/System.keychain
/Users/bob/Library/Keychains/login.keychain-db ~/Library/Safari/History.db ~/Library/Cookies/Cookies.binarycookies
~/Library/Containers/com.apple.Safari/Data ~/Library/Messages/chat.db ~/Library/Mail/V10 ~/Library/Calendars/x
~/Library/Reminders/x ~/Library/Accounts/Accounts4.sqlite ~/Library/Photos/x
~/Pictures/Photos\\ Library.photoslibrary/database ~/Library/HomeKit/x ~/Library/IdentityServices/x
~/Library/Suggestions/x ~/Library/PersonalizationPortrait/x ~/Library/Metadata/CoreSpotlight/x ~/Library/Biome/x
~/Library/Sharing/x ~/Library/Application\\ Support/com.apple.TCC/TCC.db
/Library/Application\\ Support/com.apple.TCC/TCC.db ~/Library/Application\\ Support/AddressBook/x
~/Library/Application\\ Support/CallHistoryDB/x ~/Library/Application\\ Support/MobileSync/Backup
~/Library/Application\\ Support/Google/Chrome/Default/Cookies ~/Library/Application\\ Support/Firefox/Profiles
~/Library/Application\\ Support/BraveSoftware/Brave-Browser ~/Library/Application\\ Support/Microsoft\\ Edge/Default
~/Library/Application\\ Support/Microsoft\\ Edge\\ Beta/x ~/Library/Application\\ Support/Arc/User\\ Data
~/Library/Application\\ Support/Vivaldi/x ~/Library/Application\\ Support/Chromium/x
~/Library/Application\\ Support/com.operasoftware.Opera/x ~/Library/Application\\ Support/LibreWolf/x
~/Library/Application\\ Support/1Password/x ~/Library/Application\\ Support/Bitwarden/data.json
~/Library/Application\\ Support/KeePassXC/x ~/Library/Group\\ Containers/2BUA8C4S2C.com.1password/t
~/Library/Group\\ Containers/group.com.apple.notes/NoteStore.sqlite
~/Library/Group\\ Containers/group.net.whatsapp.WhatsApp.shared/x ~/Library/Containers/com.1password.1password/x
~/Library/Application\\ Support/Slack/x ~/Library/Application\\ Support/Signal/x
~/Library/Application\\ Support/discord/x ~/Library/Application\\ Support/Exodus/x
~/Library/Application\\ Support/Bitcoin/wallet.dat ~/Library/Thunderbird/Profiles
~/Library/Application\\ Support/com.vercel.cli/auth.json ~/Library/Preferences/netlify/config.json
~/Library/Preferences/.wrangler/config ~/Library/Application\\ Support/doctl/config.yaml
~/Library/Application\\ Support/pypoetry/auth.toml ~/Library/Application\\ Support/glab-cli/c
/private/etc/master.passwd /etc/master.passwd /private/etc/sudoers /private/etc/ssh/ssh_host_rsa_key
/var/db/dslocal/nodes /private/var/db/dslocal/nodes/Default/users/ada.plist /var/db/SystemKey /private/var/at/tabs/ada
/dev/disk0 /dev/rdisk0s1 /dev/disk3s1 /private/tmp/com.apple.launchd.Xy12/Listeners /private/var/run/docker.sock
/var/run/docker.sock ~/.docker/run/docker.sock ~/.orbstack/run/docker.sock ~/.colima/default/docker.sock
/var/root/.ssh/id_rsa /private/var/root/.aws/credentials /System/Volumes/Data/Users/bob/.ssh/id_rsa /Users/bob/.netrc
/Users/bob/.zsh_history /Users/bob/.zsh_sessions/a.history /Users/bob/.codex/auth.json
/Users/bob/Library/Messages/chat.db
"""
"""The same, on macOS."""

CHANGED = """
~/.config/autostart/a.desktop ~/.config/systemd/user/a.service ~/Library/LaunchAgents/a.plist
/Library/LaunchDaemons/a.plist ~/.gitconfig ~/.config/git/config ~/.xprofile ~/.vimrc ~/.tmux.conf ~/.local/bin/ls
~/.local/share/applications/a.desktop ~/.kshrc ~/.pam_environment ~/.claude/settings.json ~/.claude/commands/a.md
~/.vscode/extensions/a /etc/crontab /etc/cron.d/a /etc/systemd/system/a.service /etc/passwd /etc/ld.so.preload
/etc/profile.d/a.sh /etc/pam.d/sudo /etc/hosts.equiv /home/bob/.gitconfig /srv/app/.git/hooks/pre-commit
/srv/app/.git/config /srv/app/.git/modules/libs/a/hooks/post-checkout /srv/app/.git/modules/a/config
/srv/app/.gitmodules /srv/app/.vscode/tasks.json /srv/app/.idea/workspace.xml /srv/app/.envrc /srv/app/.husky/pre-push
/srv/app/.mcp.json /srv/app/.claude/settings.local.json /srv/app/.codex/config.toml /srv/app/.agents/skills/a
/srv/app/.npmrc /srv/app/.cargo/config.toml /srv/app/.devcontainer/devcontainer.json /srv/app/.yarn/releases/yarn.cjs
/srv/app/.pre-commit-config.yaml /proc/sys/kernel/core_pattern
"""
"""Sensitive if they are changed."""

HARMLESS = """
/ ~ /etc/hosts /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt /etc/ssh/ssh_config
/etc/ssh/ssh_host_key /etc/localtime
/etc/crypto-policies/config /etc/environment.d /etc/securetty /etc/sudo.conf /usr/bin/env /usr/lib/git-core/git
/usr/lib/python3/dist-packages/dotenv/main.py /usr/share/doc/openssh-client/examples/a /opt/node/bin/node
/lib64/ld-linux-x86-64.so.2 /dev/null /dev/urandom /dev/tty /dev/shm/a /dev/pts/3 /proc/self/environ /proc/self/mem
/proc/thread-self/environ /proc/123/status /proc/123/maps /proc/meminfo /proc/cpuinfo /proc/sys/kernel/osrelease
/proc/environ /sys/fs/cgroup/cpu.max /run/systemd/resolve/stub-resolv.conf /run/nscd/socket /run/user/1000 /tmp /tmp/a
/tmp/sbx-1000/tmux-1000/default /var/lib/dpkg/status /var/cache/fontconfig/a /var/lib/sss/mc/passwd ~/.config ~/.cache
~/.local/share ~/.vibe ~/.vibe/config.toml ~/.vibe/trusted_folders.toml ~/.vibe/logs/vibe.log ~/.claude
~/.claude/settings.json ~/.claude.json ~/.claude/projects/a/b.jsonl ~/.claude/history.jsonl ~/.codex
~/.codex/config.toml ~/.codex/sessions/a.jsonl ~/.gemini/settings.json ~/.pi/agent/models.json
~/.pi/agent/settings.json ~/.config/opencode/opencode.json ~/.local/share/opencode/log/a ~/.config/goose/config.yaml
~/.gitconfig ~/.config/git/config ~/.config/git/ignore ~/.cargo/bin/cargo ~/.cargo/registry/index/a
~/.cargo/config.toml ~/.rustup/toolchains/stable ~/.gradle/caches/a ~/.m2/repository/a.jar ~/.gem/ruby/3.1.0/gems/a
~/.npm/_cacache/a ~/.nvm/versions/node ~/.cache/uv/a ~/.local/share/uv/python/bin/python3 ~/.cache/pip/a
~/.cache/huggingface/hub/a ~/.fly/bin/flyctl ~/.local/bin/vibe ~/.vscode/extensions/a ~/.vimrc ~/.ssh2
~/.sshx/id_rsa.pub ~/.aws-sam ~/.envs/a ~/work ~/work/engine/README.md ~/work/engine/.gitignore
~/work/engine/.git/HEAD ~/work/engine/.git/config ~/work/engine/.git/hooks/pre-commit ~/work/engine/.git/objects/ab/cd
~/work/engine/src/env.py ~/work/engine/.env.example ~/work/engine/.environment ~/work/engine/env
~/work/engine/.vscode/settings.json ~/work/engine/.npmrc ~/work/engine/package.json ~/work/engine/.envrc
~/work/engine/id_rsa.pub ~/work/engine/tests/data/cacert.pem ~/Library ~/Library/Caches/pip
~/Library/Application\\ Support/Code/User/settings.json ~/Library/Preferences/a.plist ~/Library/Python/3.11
/Library/Frameworks/a /System/Library/LaunchDaemons/a.plist /Users/bob /home/bob /home/bob/public/index.html
/private/tmp/a /private/var/folders/a/b /private/etc/hosts
"""
"""To be read by anybody."""

FREE = """
~ ~/.config ~/.vibe/config.toml ~/.vibe/trusted_folders.toml ~/.claude.json ~/.claude/projects/a ~/.codex/config.toml
~/.pi/agent/settings.json ~/.cargo/registry/a ~/.npm/_cacache/a ~/.cache/uv/a ~/work/engine/src/a.py
~/work/engine/.git/index ~/work/engine/.git/objects/ab ~/work/engine/.git/HEAD ~/work/engine/node_modules/a/.vscode/a
~/work/engine/node_modules/a/.npmrc ~/work/engine/.yarn/cache/a.zip ~/work/engine/.claude/worktrees/a/src /tmp/a
/dev/null
"""
"""To be changed too."""
