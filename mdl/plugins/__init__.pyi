from .loading import environment as environment
from .loading import function_of_plugin as function_of_plugin
from .loading import load_plugin as load_plugin
from .loading import load_plugins as load_plugins
from .loading import plugin_fault as plugin_fault
from .loading import told as told
