"""``python -m learner``: the same as the command ``sbx``."""

from learner.cli.main import main

raise SystemExit(main())
