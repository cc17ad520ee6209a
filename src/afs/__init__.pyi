from afs.api import AfsError as AfsError
from afs.api import ConfigError as ConfigError
from afs.api import DataError as DataError
from afs.api import ExpertAnswer as ExpertAnswer
from afs.api import Factory as Factory
from afs.api import ProviderError as ProviderError
from afs.api import RefusedError as RefusedError
from afs.api import UsageError as UsageError
from afs.api import list_domains as list_domains
from afs.api import list_families as list_families
from afs.api import make_tasks as make_tasks
from afs.api import open_workspace as open_workspace
from afs.api import verify as verify

__version__: str
