"""Which answers a fair and strict reader accepts, for each slip of the battery."""

from tests.battery.labels import blind_first, blind_second, dev_first, dev_second, dev_third

BLIND = {**blind_first.LABELS, **blind_second.LABELS}
DEV = {**dev_first.LABELS, **dev_second.LABELS, **dev_third.LABELS}
