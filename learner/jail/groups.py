"""Named groups of hosts: what the clients of well-known registries connect to. The port is the grant's own.

A grant writes ``host = "group:pypi"``. Sources: the documentation of each service (firewall or mirror pages), and
what its own client was seen to ask for. A host is here because installing needs it, not because the company owns it.
"""

PREFIX = "group:"

GROUPS: dict[str, tuple[str, ...]] = {
    # pip: the index and the files (warehouse documentation, "API reference")
    "pypi": ("files.pythonhosted.org", "pypi.org"),
    # npm and yarn: npm's registry, yarn's alias of it (docs.npmjs.com, yarnpkg.com)
    "npm": ("registry.npmjs.org", "registry.yarnpkg.com"),
    # cargo: the sparse index and the files (doc.rust-lang.org/cargo, "registry index")
    "crates": ("crates.io", "index.crates.io", "static.crates.io"),
    # rustup: toolchains (rust-lang.github.io/rustup, RUSTUP_DIST_SERVER)
    "rustup": ("static.rust-lang.org",),
    # go: GOPROXY and GOSUMDB defaults, and where the proxy sends large files (go.dev/ref/mod)
    "go": ("proxy.golang.org", "storage.googleapis.com", "sum.golang.org"),
    # gem and bundler (guides.rubygems.org)
    "rubygems": ("index.rubygems.org", "rubygems.org"),
    # composer (packagist.org, "mirrors")
    "packagist": ("packagist.org", "repo.packagist.org"),
    # maven and gradle: Central and the plugin portal (central.sonatype.org, docs.gradle.org)
    "maven": ("plugins.gradle.org", "repo.maven.apache.org", "repo1.maven.org"),
    # nuget v3 (learn.microsoft.com/nuget)
    "nuget": ("api.nuget.org",),
    # hex (hex.pm/docs)
    "hex": ("builds.hex.pm", "hex.pm", "repo.hex.pm"),
    # git over https, the API, archives and raw files (docs.github.com, "about GitHub's IP addresses" and /meta)
    "github": (
        "api.github.com",
        "codeload.github.com",
        "github.com",
        "objects.githubusercontent.com",
        "raw.githubusercontent.com",
        "release-assets.githubusercontent.com",
    ),
    "gitlab": ("gitlab.com", "registry.gitlab.com"),
    # apt on Debian (deb.debian.org) and Ubuntu (country mirrors are <cc>.archive.ubuntu.com); http, port 80, is usual
    "debian": ("deb.debian.org", "ftp.debian.org", "security.debian.org"),
    "ubuntu": ("*.archive.ubuntu.com", "archive.ubuntu.com", "ports.ubuntu.com", "security.ubuntu.com"),
    # apk (wiki.alpinelinux.org)
    "alpine": ("dl-cdn.alpinelinux.org",),
    # conda (docs.anaconda.com, "network allow list")
    "conda": ("conda.anaconda.org", "repo.anaconda.com"),
    # hub: repositories and large files (huggingface.co/docs)
    "huggingface": ("*.hf.co", "cdn-lfs.huggingface.co", "huggingface.co"),
    # docker pull from Docker Hub (docs.docker.com, "allow list")
    "dockerhub": ("auth.docker.io", "production.cloudflare.docker.com", "registry-1.docker.io"),
}
