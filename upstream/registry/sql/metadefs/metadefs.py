"""All resources of metadata definitions over one database."""

from upstream.registry.sql.database import Database
from upstream.registry.sql.metadefs.catalogue import SqlCatalogue
from upstream.registry.sql.metadefs.items import OBJECTS, PROPERTIES, SqlItems
from upstream.registry.sql.metadefs.namespaces import SqlNamespaces
from upstream.registry.sql.metadefs.resource_types import SqlResourceTypes
from upstream.registry.sql.metadefs.tags import SqlMetadefTags


class SqlMetadefs:
    def __init__(self, database: Database) -> None:
        self.namespaces = SqlNamespaces(database)
        self.resource_types = SqlResourceTypes(database)
        self.properties = SqlItems(database, PROPERTIES)
        self.objects = SqlItems(database, OBJECTS)
        self.tags = SqlMetadefTags(database)
        self.catalogue = SqlCatalogue(database)
