"""`python -m vk_provider` is `vk-provider`."""

import sys

from vk_provider.cli import main

sys.exit(main())
