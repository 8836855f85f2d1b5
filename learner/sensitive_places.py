"""Sensitive places of a user: a table. A new kind of secret is a new line.

The names come from the tools' own manuals and from what other sandboxes deny by default (nono, greywall,
sandbox-runtime, Claude Code, Codex, firejail); tests/learner/test_sensitive.py holds their lists. Places of Linux and
of macOS are in force together: on the other system the name does not exist.
"""

from learner.sensitive_entries import later, secrets

_EXAMPLES = tuple(f"**/.env.{word}" for word in ("example", "sample", "template", "dist", "default", "defaults"))
"""Made to be read: they hold no secret."""

# A table: one name a line would be a thousand lines.
# fmt: off
_KEYS = (
    *secrets("SSH keys", "~/.ssh/**", "~/.putty/**", "**/*.ppk"),
    *secrets(
        "SSH key",
        "**/id_rsa", "**/id_ed25519", "**/id_ecdsa", "**/id_dsa", "**/id_ed25519_sk", "**/id_ecdsa_sk",
    ),
    *secrets("GnuPG keys", "~/.gnupg/**", "~/.caff/**", "~/.pgpkey"),
    *secrets(
        "keys and certificates",
        "~/.pki/**", "~/.local/share/pki/**", "~/.cert/**", "~/.keys/**", "~/.acme.sh/**", "~/.config/sops/**",
        "~/.config/age/**", "~/.config/borg/**",
    ),
    *secrets("secrets", "~/.secrets/**", "~/.credentials/**", "~/.google_authenticator", "~/.config/Yubico/**"),
    *secrets(
        "encrypted directory",
        "~/.Private/**", "~/Private/**", "~/.ecryptfs/**", "~/.fscrypt/**", "~/.vaults/**", "/home/.ecryptfs/**",
        "/home/.fscrypt/**", "/.fscrypt/**", "~/.VeraCrypt/**",
    ),
    *secrets("Kerberos tickets", "/tmp/krb5cc*", "/run/user/*/krb5cc*", "/etc/krb5.keytab", "/etc/*.keytab"),
)
_CLOUDS = (
    *secrets(
        "AWS credentials",
        "~/.aws/**", "~/.boto", "~/.s3cfg", "~/.s3cmd/**", "~/.passwd-s3fs", "~/.saml2aws", "/etc/boto.cfg",
        "/etc/passwd-s3fs",
    ),
    *secrets("Azure credentials", "~/.azure/**", "~/.IdentityService/**"),
    *secrets(
        "Google Cloud credentials",
        "~/.config/gcloud/**", "~/.gcloud/**", "~/.config/gsutil/**", "~/.clasprc.json",
        "~/.config/configstore/firebase-tools.json",
    ),
    *secrets("DigitalOcean token", "~/.config/doctl/**", "~/Library/Application Support/doctl/**"),
    *secrets("Oracle Cloud keys", "~/.oci/**"),
    *secrets("Hetzner token", "~/.config/hcloud/**"),
    *secrets("Fly token", "~/.fly/config.yml"),
    *secrets(
        "Vercel token",
        "~/.local/share/com.vercel.cli/**", "~/Library/Application Support/com.vercel.cli/**", "~/.vercel/auth.json",
        "~/.now/auth.json",
    ),
    *secrets("Netlify token", "~/.config/netlify/**", "~/.netlify/config.json", "~/Library/Preferences/netlify/**"),
    *secrets(
        "Cloudflare token",
        "~/.config/.wrangler/**", "~/.wrangler/config/**", "~/.cloudflared/**", "~/Library/Preferences/.wrangler/**",
        "/etc/cloudflared/**",
    ),
    *secrets("Heroku token", "~/.config/heroku/**", "~/.heroku/credentials"),
    *secrets(
        "cloud token",
        "~/.railway/**", "~/.render/**", "~/.supabase/**", "~/.config/planetscale/**", "~/.config/scw/**",
        "~/.config/linode-cli", "~/.config/exoscale/**", "~/.civo.json", "~/.bluemix/config.json", "~/.aliyun/**",
        "~/.tccli/**", "~/.ovh.conf", "~/.vultr-cli.yaml", "~/.config/openstack/**", "/etc/openstack/**",
        "~/.config/rclone/**", "~/.rclone.conf", "~/.mc/config.json", "~/.config/b2/**", "~/.b2_account_info",
        "~/.edgerc",
    ),
    *secrets("Terraform credentials", "~/.terraform.d/**", "~/.terraformrc", "~/.tofurc", "~/.opentofu.d/**"),
    *secrets("Pulumi credentials", "~/.pulumi/credentials.json", "~/.pulumi/accounts.json"),
    *secrets("Vault token", "~/.vault-token", "~/.consul-token"),
    *secrets(
        "Kubernetes credentials",
        "~/.kube/**", "/etc/kubernetes/**", "/etc/rancher/**", "/var/lib/kubelet/**", "/run/secrets/**", "~/.tsh/**",
        "~/.config/argocd/**", "~/.minikube/**",
    ),
    *secrets(
        "container registry credentials",
        "~/.docker/**", "~/.dockercfg", "~/.config/containers/auth.json", "/run/user/*/containers/**",
        "/run/containers/*/auth.json", "~/.config/helm/**", "~/Library/Preferences/helm/**",
    ),
)
_TOKENS = (
    *secrets(
        "package registry token",
        "~/.npmrc", "~/.yarnrc*", "~/.config/pnpm/rc", "~/Library/Preferences/pnpm/rc", "~/.pypirc", "~/.pip/pip.conf",
        "~/.config/pip/pip.conf", "~/Library/Application Support/pip/pip.conf", "~/.local/share/uv/credentials/**",
        "~/.config/pypoetry/auth.toml", "~/Library/Application Support/pypoetry/auth.toml", "~/.cargo/credentials*",
        "~/.gem/credentials", "~/.local/share/gem/credentials", "~/.bundle/config", "~/.composer/auth.json",
        "~/.config/composer/auth.json", "~/.m2/settings.xml", "~/.m2/settings-security.xml",
        "~/.gradle/gradle.properties", "~/.sbt/.credentials", "~/.ivy2/.credentials", "~/.config/coursier/credentials*",
        "~/.nuget/NuGet/NuGet.Config", "~/.config/NuGet/NuGet.Config", "~/.hex/hex.config",
        "~/.pub-cache/credentials.json", "~/.config/dart/pub-credentials.json", "~/.pause",
    ),
    *secrets("GitHub token", "~/.config/gh/**", "~/.config/hub", "~/.config/github-copilot/**"),
    *secrets("GitLab token", "~/.config/glab-cli/**", "~/.config/tea/**", "~/Library/Application Support/glab-cli/**"),
    *secrets(
        "passwords",
        "~/.netrc", "~/_netrc", "~/.authinfo*", "~/.smbcredentials", "~/.davfs2/**", "/etc/davfs2/secrets",
    ),
    *secrets(
        "git passwords",
        "**/.git-credentials", "~/.config/git/credentials", "~/.git-credential-cache/**", "~/.cache/git/credential/**",
    ),
    *secrets(
        "database passwords",
        "~/.pgpass", "~/.pg_service.conf", "~/.my.cnf", "~/.mylogin.cnf", "~/.mongodb/**", "~/.snowsql/**",
        "~/.snowflake/**", "~/.dbt/profiles.yml", "~/.databrickscfg", "~/.databricks/token-cache.json",
        "/etc/mysql/debian.cnf",
    ),
    *secrets(
        "model and data hub token",
        "~/.cache/huggingface/token", "~/.cache/huggingface/stored_tokens", "~/.huggingface/**", "~/.kaggle/**",
    ),
    *secrets(
        "service token",
        "~/.sentryclirc", "~/.circleci/**", "~/.travis/**", "~/.config/stripe/**", "~/.slack/**", "~/.config/ngrok/**",
        "~/.ngrok2/**", "~/.twilio-cli/**", "~/.config/keybase/**", "~/Library/Application Support/ngrok/**",
    ),
)
_AGENTS = (
    # What an agent signs in with, not its settings: those it has to read in order to run at all.
    *secrets(
        "coding agent's credentials",
        "~/.claude/.credentials.json", "~/.config/claude/.credentials.json", "~/.codex/auth.json",
        "~/.codex/.credentials.json", "~/.pi/agent/auth.json", "~/.gemini/oauth_creds.json",
        "~/.gemini/google_accounts.json", "~/.gemini/mcp-oauth-tokens*", "~/.gemini/gemini-credentials.json",
        "~/.qwen/oauth_creds.json", "~/.iflow/oauth_creds.json", "~/.local/share/opencode/auth.json",
        "~/.local/share/opencode/mcp-auth.json", "~/.local/share/kilo/auth.json", "~/.local/share/amp/secrets.json",
        "~/.config/goose/secrets.yaml", "~/.config/cursor/auth.json", "~/.aider/oauth-keys.env", "~/.factory/auth.*",
        "~/.cline/data/secrets.json", "~/.codeium/config.json", "~/.kimi/credentials/**", "~/.hermes/auth.json",
        "~/.openclaw/credentials/**", "~/.mcp-auth/**", "~/.omp/agent/agent.db",
        "~/.local/share/amazon-q/data.sqlite3*", "~/.local/share/kiro-cli/data.sqlite3*",
        "~/Library/Application Support/amazon-q/data.sqlite3*", "~/.config/io.datasette.llm/keys.json",
        "~/Library/Application Support/io.datasette.llm/keys.json",
    ),
    *secrets("environment file with secrets", "**/.env", "**/.dev.vars", "~/.envrc"),
    *secrets("environment file with secrets", "**/.env.*", but=_EXAMPLES),
)
_PASSWORDS = (
    *secrets(
        "password store",
        "~/.password-store/**", "~/.local/share/gopass/**", "~/.config/gopass/**", "**/*.kdbx", "**/*.kdb",
        "~/.config/keepassxc/**", "~/.config/KeePass/**", "~/.keepass/**", "~/.config/Bitwarden/**",
        "~/.config/Bitwarden CLI/**", "~/.local/share/lpass/**", "~/.lpass/**", "~/.local/share/plasma-vault/**",
        "~/.config/sinew.in/**", "~/.local/share/Enpass/**", "~/Library/Application Support/Bitwarden*/**",
        "~/Library/Application Support/KeePassXC/**",
    ),
    *secrets(
        "1Password session",
        "~/.config/op/**", "~/.op/**", "~/.1password/**", "~/.config/1Password/**",
        "~/Library/Group Containers/2BUA8C4S2C.com.1password/**", "~/Library/Application Support/1Password/**",
        "~/Library/Containers/com.1password.*/**",
    ),
    *secrets(
        "desktop keyring",
        "~/.local/share/keyrings/**", "~/.gnome2/keyrings/**", "~/.local/share/kwalletd/**",
        "~/.kde/share/apps/kwallet/**", "~/.kde4/share/apps/kwallet/**", "/run/user/*/keyring/**",
    ),
    *secrets(
        "keychain",
        "~/Library/Keychains/**", "/Library/Keychains/**", "/Network/Library/Keychains/**", "**/*.keychain-db",
        "**/*.keychain", "/var/db/SystemKey", "/var/db/CryptoTokenKit/**",
    ),
)
_BROWSERS = (
    *secrets(
        "browser profile",
        "~/.config/google-chrome*/**", "~/.config/chromium*/**", "~/.config/BraveSoftware/**",
        "~/.config/microsoft-edge*/**", "~/.config/vivaldi*/**", "~/.config/opera*/**", "~/.config/yandex-browser*/**",
        "~/.config/thorium/**", "~/.config/net.imput.helium/**", "~/.mozilla/**", "~/.config/mozilla/**",
        "~/.librewolf/**", "~/.waterfox/**", "~/.zen/**", "~/.floorp/**", "~/.tor-browser/**",
        "~/.local/share/torbrowser/**", "~/.local/share/epiphany/**", "~/.local/share/qutebrowser/**",
        "~/.config/falkon/**", "~/.local/share/falkon/**", "~/.cache/mozilla/**", "~/.cache/google-chrome*/**",
        "~/.cache/chromium*/**", "~/.cache/BraveSoftware/**", "~/.cache/microsoft-edge*/**", "~/.cache/vivaldi*/**",
        "~/snap/firefox/**", "~/snap/chromium/**", "~/snap/brave/**", "~/snap/opera/**",
        "~/.var/app/org.mozilla.firefox/**", "~/.var/app/com.google.Chrome*/**", "~/.var/app/org.chromium.Chromium/**",
        "~/.var/app/com.brave.Browser/**", "~/.var/app/com.microsoft.Edge/**", "~/.var/app/com.vivaldi.Vivaldi/**",
        "~/.var/app/io.gitlab.librewolf-community/**", "~/.var/app/app.zen_browser.zen/**",
        "~/Library/Application Support/Google/**", "~/Library/Application Support/Chromium/**",
        "~/Library/Application Support/Firefox/**", "~/Library/Application Support/BraveSoftware/**",
        "~/Library/Application Support/Brave Browser/**", "~/Library/Application Support/Arc/**",
        "~/Library/Application Support/Microsoft Edge*/**", "~/Library/Application Support/Vivaldi/**",
        "~/Library/Application Support/com.operasoftware.Opera*/**", "~/Library/Application Support/LibreWolf/**",
        "~/Library/Application Support/zen/**", "~/Library/Application Support/Orion/**", "~/Library/Safari/**",
        "~/Library/Cookies/**", "~/Library/Containers/com.apple.Safari*/**",
        "~/Library/HTTPStorages/com.apple.Safari*/**", "~/Library/Caches/com.apple.Safari*/**",
        "~/Library/Caches/Google/Chrome/**", "~/Library/Caches/Firefox/**", "~/Library/WebKit/com.apple.Safari/**",
    ),
)
_MESSAGES = (
    *secrets(
        "mail",
        "~/.thunderbird/**", "~/snap/thunderbird/**", "~/.var/app/org.mozilla.Thunderbird/**",
        "~/.local/share/evolution/**", "~/.config/evolution/**", "~/.local/share/geary/**", "~/.config/geary/**",
        "~/.claws-mail/**", "~/.sylpheed*/**", "~/.local/share/akonadi/**", "~/.local/share/kmail2/**", "~/.mutt/**",
        "~/.muttrc", "~/.config/mutt/**", "~/.config/neomutt/**", "~/.config/aerc/**", "~/.msmtprc",
        "~/.config/msmtp/**", "~/.mbsyncrc", "~/.offlineimaprc", "~/.fetchmailrc", "~/.getmail/**", "~/Mail/**",
        "~/mail/**", "~/.mail/**", "~/.Mail/**", "~/Maildir/**", "/var/mail/**", "/var/spool/mail/**",
        "~/Library/Mail/**", "~/Library/Containers/com.apple.mail/**", "~/Library/Thunderbird/**",
    ),
    *secrets(
        "messages",
        "~/.config/Slack/**", "~/.config/discord*/**", "~/.config/Signal*/**", "~/.config/Element/**",
        "~/.local/share/TelegramDesktop/**", "~/.config/Microsoft/Microsoft Teams/**", "~/.config/teams*/**",
        "~/.zoom/**", "~/.purple/**", "~/.weechat/**", "~/.config/weechat/**", "~/.irssi/**", "~/.config/hexchat/**",
        "~/.config/skypeforlinux/**", "~/.config/WhatsApp*/**", "~/snap/slack/**", "~/snap/discord/**",
        "~/.var/app/com.slack.Slack/**", "~/.var/app/com.discordapp.Discord/**", "~/.var/app/org.signal.Signal/**",
        "~/.var/app/org.telegram.desktop/**", "~/Library/Messages/**", "~/Library/Application Support/Slack/**",
        "~/Library/Application Support/discord*/**", "~/Library/Application Support/Signal/**",
        "~/Library/Application Support/Telegram*/**", "~/Library/Group Containers/*.ru.keepcoder.Telegram/**",
        "~/Library/Group Containers/group.net.whatsapp.*/**", "~/Library/Containers/com.tinyspeck.*/**",
    ),
)
_PRIVATE = (
    # Behind macOS's "Transparency, Consent and Control", which asks once for a terminal and all that runs in it.
    *secrets(
        "private data",
        "~/Library/Application Support/AddressBook/**", "~/Library/Application Support/com.apple.TCC/**",
        "/Library/Application Support/com.apple.TCC/**", "~/Library/Application Support/MobileSync/**",
        "~/Library/Application Support/CallHistoryDB/**", "~/Library/Application Support/CallHistoryTransactions/**",
        "~/Library/Application Support/Knowledge/**", "~/Library/Biome/**", "~/Library/Accounts/**",
        "~/Library/Calendars/**", "~/Library/Reminders/**", "~/Library/Group Containers/group.com.apple.*/**",
        "~/Library/Photos/**", "~/Pictures/Photos Library.photoslibrary/**", "~/Library/HomeKit/**",
        "~/Library/IdentityServices/**", "~/Library/Suggestions/**", "~/Library/Sharing/**",
        "~/Library/PersonalizationPortrait/**", "~/Library/Metadata/CoreSpotlight/**", "~/Library/Health/**",
        "~/.local/share/recently-used.xbel", "~/.cache/greenclip*", "~/.local/share/klipper/**",
    ),
    *secrets(
        "crypto wallet",
        "~/.bitcoin/**", "~/.ethereum/**", "~/.electrum/**", "~/.monero/**", "~/Monero/**", "~/.litecoin/**",
        "~/.dogecoin/**", "~/.dashcore/**", "~/.zcash/**", "~/.config/Exodus/**", "~/.config/atomic/**",
        "~/.config/Ledger Live/**", "~/.config/solana/**", "~/.near-credentials/**", "~/.brownie/accounts/**",
        "~/.foundry/keystores/**", "~/.sui/sui_config/**", "~/.aptos/**", "~/.lnd/**", "**/wallet.dat",
        "~/Library/Application Support/Bitcoin/**", "~/Library/Application Support/Exodus/**",
        "~/Library/Application Support/Ledger Live/**", "~/Library/Ethereum/**",
    ),
)
_SHELLS = (
    *secrets(
        "shell history",
        "~/.*_history", "~/.history", "~/.histfile", "~/.zhistory", "~/.python-history", "~/.pythonhist",
        "~/.bash_sessions/**", "~/.zsh_sessions/**", "~/.local/share/fish/fish_history*", "~/.local/share/atuin/**",
        "~/.local/share/powershell/PSReadLine/**", "~/.config/nushell/history*", "~/.local/state/bash/history",
        "~/.local/state/zsh/history", "~/.viminfo",
    ),
    # Reading these is a concern too: people export tokens in them, so nono denies both.
    *secrets(
        "shell start-up file",
        "~/.bashrc", "~/.bash_profile", "~/.bash_login", "~/.bash_logout", "~/.profile", "~/.zshrc", "~/.zshenv",
        "~/.zprofile", "~/.zlogin", "~/.zlogout", "~/.config/fish/**", "~/.config/zsh/**", "~/.zshrc.local",
        "~/.bash_aliases", "~/.config/nushell/**",
    ),
    *later(
        "shell start-up file",
        "**/.bashrc", "**/.bash_profile", "**/.bash_login", "**/.bash_logout", "**/.bash_aliases", "**/.profile",
        "**/.zshrc", "**/.zshenv", "**/.zprofile", "**/.zlogin", "**/.zlogout", "~/.kshrc", "~/.mkshrc", "~/.cshrc",
        "~/.tcshrc", "~/.login", "~/.logout", "~/.inputrc", "~/.oh-my-zsh/**", "~/.antigen/**", "~/.zfunc/**",
        "~/.zsh.d/**", "~/.config/powershell/**", "~/.local/share/fish/vendor_*/**", "~/.config/starship.toml",
        "~/.pam_environment", "~/.cargo/env*",
    ),
)
# fmt: on

PERSONAL = (
    *_KEYS,
    *_CLOUDS,
    *_TOKENS,
    *_AGENTS,
    *_PASSWORDS,
    *_BROWSERS,
    *_MESSAGES,
    *_PRIVATE,
    *_SHELLS,
)
