"""All parts of the client. Made from docs/openapi.json by `python -m making`; do not edit."""

from headrace_client._sync.routes.admin import AdminRoutes
from headrace_client._sync.routes.certificates import CertificatesRoutes
from headrace_client._sync.routes.collections import CollectionsRoutes
from headrace_client._sync.routes.content import ContentRoutes
from headrace_client._sync.routes.courses import CoursesRoutes
from headrace_client._sync.routes.credits import CreditsRoutes
from headrace_client._sync.routes.enrolments import EnrolmentsRoutes
from headrace_client._sync.routes.feed import FeedRoutes
from headrace_client._sync.routes.health import HealthRoutes
from headrace_client._sync.routes.holds import HoldsRoutes
from headrace_client._sync.routes.images import ImagesRoutes
from headrace_client._sync.routes.invitations import InvitationsRoutes
from headrace_client._sync.routes.keys import KeysRoutes
from headrace_client._sync.routes.labels import LabelsRoutes
from headrace_client._sync.routes.lessons import LessonsRoutes
from headrace_client._sync.routes.me import MeRoutes
from headrace_client._sync.routes.models import ModelsRoutes
from headrace_client._sync.routes.notifications import NotificationsRoutes
from headrace_client._sync.routes.packs import PacksRoutes
from headrace_client._sync.routes.payments import PaymentsRoutes
from headrace_client._sync.routes.plans import PlansRoutes
from headrace_client._sync.routes.playground import PlaygroundRoutes
from headrace_client._sync.routes.promotions import PromotionsRoutes
from headrace_client._sync.routes.provider_keys import ProviderKeysRoutes
from headrace_client._sync.routes.provisioning import ProvisioningRoutes
from headrace_client._sync.routes.quotes import QuotesRoutes
from headrace_client._sync.routes.refill import RefillRoutes
from headrace_client._sync.routes.search import SearchRoutes
from headrace_client._sync.routes.sounds import SoundsRoutes
from headrace_client._sync.routes.storage import StorageRoutes
from headrace_client._sync.routes.subscription import SubscriptionRoutes
from headrace_client._sync.routes.summaries import SummariesRoutes
from headrace_client._sync.routes.tokens import TokensRoutes
from headrace_client._sync.routes.usage import UsageRoutes
from headrace_client._sync.routes.videos import VideosRoutes
from headrace_client._sync.routes.webhooks import WebhooksRoutes
from headrace_client._sync.sending import Sender


class Parts:
    """The parts of the client that are routes and nothing more."""

    def __init__(self, sender: Sender) -> None:
        self.admin = AdminRoutes(sender)
        self.certificates = CertificatesRoutes(sender)
        self.collections = CollectionsRoutes(sender)
        self.content = ContentRoutes(sender)
        self.courses = CoursesRoutes(sender)
        self.credits = CreditsRoutes(sender)
        self.enrolments = EnrolmentsRoutes(sender)
        self.feed = FeedRoutes(sender)
        self.health = HealthRoutes(sender)
        self.holds = HoldsRoutes(sender)
        self.images = ImagesRoutes(sender)
        self.invitations = InvitationsRoutes(sender)
        self.keys = KeysRoutes(sender)
        self.labels = LabelsRoutes(sender)
        self.lessons = LessonsRoutes(sender)
        self.me = MeRoutes(sender)
        self.models = ModelsRoutes(sender)
        self.notifications = NotificationsRoutes(sender)
        self.packs = PacksRoutes(sender)
        self.payments = PaymentsRoutes(sender)
        self.plans = PlansRoutes(sender)
        self.playground = PlaygroundRoutes(sender)
        self.promotions = PromotionsRoutes(sender)
        self.provider_keys = ProviderKeysRoutes(sender)
        self.provisioning = ProvisioningRoutes(sender)
        self.quotes = QuotesRoutes(sender)
        self.refill = RefillRoutes(sender)
        self.search = SearchRoutes(sender)
        self.sounds = SoundsRoutes(sender)
        self.storage = StorageRoutes(sender)
        self.subscription = SubscriptionRoutes(sender)
        self.summaries = SummariesRoutes(sender)
        self.tokens = TokensRoutes(sender)
        self.usage = UsageRoutes(sender)
        self.videos = VideosRoutes(sender)
        self.webhooks = WebhooksRoutes(sender)
